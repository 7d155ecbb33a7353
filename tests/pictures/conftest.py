from tests.callbacks.conftest import fit, module_patch  # noqa: F401  (fixtures)
from tests.pictures.finding import frames_of, places_of  # noqa: F401  (fixtures)
