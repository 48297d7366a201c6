//! Bootwright: GitOps for operating-system images.
//!
//! A git repository (the *catalog*) says which images should exist. Bootwright compares
//! that with what is published, builds what is missing, boots every image before it
//! trusts it, signs and publishes the release.
//!
//! # Codemap, in reading order
//!
//! - [`model`]: values without effects: ids, spec, device profile, lock, recipe, plan, run states, artifact, release, failure, event
//! - [`tables`]: data the project curates: distributions, package names per distribution, kernels, keywords of prompts
//! - [`catalog`]: text of a catalog → validated specs, profiles, policies and settings, with spans for every complaint
//! - [`configure`]: settings of a spec → files, accounts, services, programs and checks; pure
//! - [`resolve`]: spec or device profile + tables + lock → recipe
//! - [`planner`]: recipes × observed → plan and report; pure
//! - [`effects`]: the only doors out: process, sandbox, fetch, files, places (folder or bucket), block devices, clock
//! - [`state`]: the database: runs, events, leases, Image Builders, card writers and their jobs, what was written to cards
//! - [`intake`]: plain words → spec: the deterministic reader, and language models
//! - [`build`]: package managers, layers, plans carried out, ISO, disk image, OCI and registry, root filesystem archive, Containerfiles, OpenWrt's Image Builders
//! - [`verify`]: boots and inspects artifacts, gathers evidence
//! - [`release`]: checksums, SBOM, provenance, signatures, store, download pages
//! - [`flash`]: images on cards: probed, written, read back and compared
//! - [`reconcile`]: observe, plan, drive; leases; what is remembered; building a release again
//! - [`ops`]: one function per thing a user can ask for
//! - [`agent`]: the card writer: takes jobs, writes cards, signs receipts
//! - [`serve`]: what card writers and routers ask over HTTP: parse, call an operation, render
//! - [`cli`]: arguments, progress, tables, exit codes
//!
//! # What is never done
//!
//! - `configure`, `planner`, `resolve` and `tables` do no I/O and know no clock but the one they are given.
//! - `build`, `verify`, `release` and `flash` never use one another; a value from `model` passes between them.
//! - A room uses only rooms above it in the list (`tests/it/architecture.rs` holds it to that).
//! - Nothing but `cli` prints; nothing but `effects` spawns a process or opens a connection.

pub mod agent;
pub mod build;
pub mod catalog;
pub mod cli;
pub mod configure;
pub mod effects;
pub mod flash;
pub mod intake;
pub mod model;
pub mod ops;
pub mod planner;
pub mod reconcile;
pub mod release;
pub mod resolve;
pub mod serve;
pub mod state;
pub mod tables;
pub mod verify;
