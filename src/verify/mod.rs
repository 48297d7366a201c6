//! Boots and inspects artifacts, and gathers the evidence.
