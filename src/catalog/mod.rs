//! Text of a catalog → validated specs and settings, with a place for every complaint.
