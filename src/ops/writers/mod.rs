//! Card writers: the jobs that flash orders make, what writers ask for, the receipts they give.

mod controller;
mod orders;
mod receipts;

pub use controller::{Controller, ControllerRequest, Signed, TokenReport, TokenRequest, writer_token};
pub(super) use orders::{Bench, Ordered, issue, plan_cards};
pub use orders::{JobList, JobListRequest, RetryRequest, writer_jobs, writer_retry};
