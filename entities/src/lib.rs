//! SeaORM entities, tenant-scoped finders and the unit of work: the only door to rows.
