//! What routers ask of a server of the Attended Sysupgrade API, and what they are told.
//!
//! - [`request`]: a build request: JSON → values, or what is wrong with it
//! - [`hash`]: what a request is found by
//! - [`answer`]: how far a request is, and what is said of that
//! - [`overview`]: which releases there are, for clients
//! - [`document`] and [`index`]: other documents: a device, packages
//! - [`settings`]: what a server allows
//!
//! Format: the server that openwrt.org runs (github.com/openwrt/asu, `/api/v1` and `/json/v1`). It is
//! written in Python with FastAPI and pydantic, and clients depend on what these two do: the form
//! of `422` answers, and texts of Python values in the request's hash.

pub mod answer;
pub mod document;
pub mod hash;
pub mod index;
pub mod overview;
pub mod request;
pub mod settings;

pub use answer::{Asked, JobState, Progress};
pub use request::{BuildRequest, Fault, Mode, Pairs};
pub use settings::SysupgradeSettings;
