"""What the generate command makes of a trained run: one file a mode, each a class whose call writes files."""
