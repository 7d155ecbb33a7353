"""A page that shows what a model's latents do: one file, which decodes in the browser that opens it."""
