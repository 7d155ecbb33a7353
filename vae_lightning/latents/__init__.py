"""The mathematics of codes: encoding, units, the aggregated posterior, paths, projections, neighbours."""
