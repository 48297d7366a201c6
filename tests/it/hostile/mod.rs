//! Input that somebody made to do harm: catalogs, indexes of packages, mirrors. Every case must
//! fail, with words that name the reason.

mod catalog;
mod indexes;
mod mirrors;
mod texts;

use bootwright::model::Failure;

/// Cases that failed as they should, counted for the log.
struct Cases {
    what: &'static str,
    count: usize,
    wrong: Vec<String>,
}

impl Cases {
    fn of(what: &'static str) -> Self {
        Self { what, count: 0, wrong: Vec::new() }
    }

    /// One case: what came of it must be a failure that says one of `words` and is no bug of
    /// ours.
    fn refused<T>(&mut self, case: &str, result: Result<T, Failure>, words: &str) {
        self.count += 1;
        match result {
            Ok(_) => self.wrong.push(format!("{case}: was taken")),
            Err(failure) => {
                let text = format!("{failure} {}", failure.details.clone().unwrap_or_default());
                if !words.split('|').any(|word| text.contains(word)) {
                    self.wrong.push(format!("{case}: says {text:?}, not {words:?}"));
                }
                if failure.class == bootwright::model::FailureClass::Bug {
                    self.wrong.push(format!("{case}: is said to be our bug: {text}"));
                }
                if failure.to_string().len() > 4096 {
                    self.wrong.push(format!("{case}: says {} bytes", failure.to_string().len()));
                }
            }
        }
    }

    fn finish(self, least: usize) {
        println!("must-fail cases: {} ({})", self.count, self.what);
        assert!(self.wrong.is_empty(), "\n{}", self.wrong.join("\n"));
        assert!(self.count >= least, "{}: only {} cases", self.what, self.count);
    }
}
