"""The type checker that pytest puts on every function of the package: beartype, an int being welcome as a float."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
