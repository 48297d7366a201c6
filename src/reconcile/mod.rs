//! Observe, plan, drive.
