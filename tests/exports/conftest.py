from tests.pictures.finding import frames_of, places_of  # noqa: F401  (fixtures)
