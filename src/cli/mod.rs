//! Arguments, progress, tables, exit codes. The only room that prints.
