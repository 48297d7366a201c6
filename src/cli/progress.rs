//! The one stream of events, drawn: bars on a terminal, lines elsewhere, JSON for programs.
//!
//! All of it goes to stderr. Writing there may fail (the terminal hung up, the pipe was
//! closed); the work goes on all the same, so such errors are passed over.

use super::error;
use super::logs;
use super::terminal::{Palette, clean, duration, last_drawn};
use crate::model::event::Unit;
use crate::model::run::Phase;
use crate::model::{Emitter, Event};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The version of the event lines.
const EVENT_FORMAT: u32 = 1;
/// Longer labels are cut in bars.
const LABEL_WIDTH: usize = 44;
/// Frames of bars in a second.
const FRAMES: u8 = 10;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Warnings and failures.
    Quiet,
    /// Phases and tasks too.
    Normal,
    /// What the tools say too.
    Verbose,
}

/// How events are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Bars, for a terminal.
    Bars,
    /// A line for each beginning and end, for logs.
    Lines,
    /// One JSON object a line, for programs.
    Json,
}

/// Where progress is drawn. Cloning shares it.
#[derive(Clone)]
pub struct Progress(Arc<Mutex<Box<dyn Draw>>>);

/// A way of drawing events.
trait Draw: Send {
    fn event(&mut self, event: &Event);
    /// One message of our own, already complete.
    fn message(&mut self, text: &str);
    /// Takes away what is not meant to stay.
    fn clear(&mut self) {}
}

impl Progress {
    /// Draws on stderr.
    pub fn stderr(style: Style, detail: Detail, palette: Palette) -> Self {
        Self::to(style, detail, palette, Box::new(std::io::stderr()))
    }

    fn to(style: Style, detail: Detail, palette: Palette, writer: Box<dyn Write + Send>) -> Self {
        let words = Words { detail, palette };
        let draw: Box<dyn Draw> = match style {
            // Quiet has nothing to animate.
            Style::Bars if detail != Detail::Quiet => Box::new(Bars::new(words)),
            Style::Bars | Style::Lines => Box::new(Lines { words, writer }),
            Style::Json => Box::new(JsonLines { detail, writer }),
        };
        Self(Arc::new(Mutex::new(draw)))
    }

    /// Draws every event that is sent to it, and keeps it in the log.
    pub fn emitter(&self) -> Emitter {
        let shared = self.clone();
        Emitter::new(move |event| {
            logs::record(&event);
            shared.with(|draw| draw.event(&event));
        })
    }

    /// Shows one message of our own.
    pub fn message(&self, text: &str) {
        self.with(|draw| draw.message(text));
    }

    /// Takes away what is not meant to stay, before something else is written.
    pub fn clear(&self) {
        self.with(|draw| draw.clear());
    }

    fn with(&self, then: impl FnOnce(&mut Box<dyn Draw>)) {
        // A panic elsewhere must not silence what is said about it.
        then(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Progress")
    }
}

/// What is said about an event that is over, in words.
#[derive(Clone, Copy)]
struct Words {
    detail: Detail,
    palette: Palette,
}

impl Words {
    /// The lines that stay; none for what passes.
    fn of(self, event: &Event) -> Option<String> {
        let palette = self.palette;
        let said = match event {
            Event::Warning { message } => {
                return Some(format!("{} {}", palette.poor("warning:"), clean(message)));
            }
            Event::Failed { image, failure } => {
                return Some(error::text(&failure.clone().on(image), palette).trim_end().to_owned());
            }
            Event::Phase { image, phase } => {
                format!("{} {}", palette.strong(image.as_str()), phase_word(*phase))
            }
            Event::TaskFinished { label, elapsed_ms, outcome, .. } => {
                let failed = outcome.starts_with("failed");
                let mark = if failed { palette.bad("✘") } else { palette.good("✔") };
                let (label, time) = (clean(label), palette.faint(&duration(*elapsed_ms)));
                format!("{mark} {label}  {time}  {}", clean(outcome))
            }
            Event::Published { image, version } => {
                format!("{} {} {version}", palette.good("published"), palette.strong(image.as_str()))
            }
            Event::Log { source, line } if self.detail == Detail::Verbose => {
                let line = last_drawn(line);
                if line.is_empty() {
                    return None;
                }
                palette.faint(&format!("  {}: {line}", clean(source)))
            }
            Event::Log { .. } | Event::TaskStarted { .. } | Event::TaskProgress { .. } => return None,
        };
        (self.detail != Detail::Quiet).then_some(said)
    }
}

fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "waiting its turn",
        Phase::Building => "building",
        Phase::Verifying => "verifying",
        Phase::Publishing => "signing and publishing",
        Phase::Published => "published",
        Phase::Failed => "failed",
        Phase::Superseded => "superseded by a newer plan",
    }
}

/// A line for each beginning and end.
struct Lines {
    words: Words,
    writer: Box<dyn Write + Send>,
}

impl Draw for Lines {
    fn event(&mut self, event: &Event) {
        let line = match event {
            Event::TaskStarted { label, .. } if self.words.detail != Detail::Quiet => {
                Some(format!("… {}", clean(label)))
            }
            other => self.words.of(other),
        };
        if let Some(line) = line {
            self.message(&line);
        }
    }

    fn message(&mut self, text: &str) {
        // One write for each line: other processes may write to the same log.
        let _ = self.writer.write_all(format!("{text}\n").as_bytes());
    }
}

/// One JSON object a line.
struct JsonLines {
    detail: Detail,
    writer: Box<dyn Write + Send>,
}

#[derive(Serialize)]
struct EventLine<'a> {
    format: u32,
    #[serde(flatten)]
    event: &'a Event,
}

impl Draw for JsonLines {
    fn event(&mut self, event: &Event) {
        let wanted = match event {
            Event::Warning { .. } | Event::Failed { .. } => true,
            Event::Log { .. } => self.detail == Detail::Verbose,
            _ => self.detail != Detail::Quiet,
        };
        if wanted && let Ok(mut line) = serde_json::to_vec(&EventLine { format: EVENT_FORMAT, event }) {
            line.push(b'\n');
            let _ = self.writer.write_all(&line);
        }
    }

    fn message(&mut self, text: &str) {
        self.event(&Event::Warning { message: text.to_owned() });
    }
}

/// Bars and spinners below the lines that stay.
struct Bars {
    words: Words,
    all: MultiProgress,
    running: HashMap<u64, ProgressBar>,
}

impl Bars {
    fn new(words: Words) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(FRAMES));
        Self { words, all, running: HashMap::new() }
    }

    fn start(&mut self, task: u64, label: &str, total: Option<u64>, unit: Unit) {
        let template = match (total, unit) {
            (None, _) => "{spinner} {wide_msg} {elapsed:>4}",
            (Some(_), Unit::Items) => "{spinner} {msg} [{wide_bar}] {pos}/{len} {elapsed:>4}",
            (Some(_), Unit::Bytes) => {
                "{spinner} {msg} [{wide_bar}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} eta {eta}"
            }
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let bar = self.all.add(bar.with_style(style.progress_chars("=> ")).with_message(cut(&clean(label))));
        bar.enable_steady_tick(Duration::from_millis(120));
        self.running.insert(task, bar);
    }
}

/// Cuts a label so that the bar beside it has room.
fn cut(label: &str) -> String {
    if label.chars().count() <= LABEL_WIDTH {
        return label.to_owned();
    }
    let mut short: String = label.chars().take(LABEL_WIDTH - 1).collect();
    short.push('…');
    short
}

impl Draw for Bars {
    fn event(&mut self, event: &Event) {
        match event {
            Event::TaskStarted { task, label, total, unit } => self.start(*task, label, *total, *unit),
            Event::TaskProgress { task, done } => {
                if let Some(bar) = self.running.get(task) {
                    bar.set_position(*done);
                }
            }
            Event::TaskFinished { task, .. } => {
                if let Some(bar) = self.running.remove(task) {
                    bar.finish_and_clear();
                    self.all.remove(&bar);
                }
            }
            _ => {}
        }
        if let Some(text) = self.words.of(event) {
            self.message(&text);
        }
    }

    fn message(&mut self, text: &str) {
        // Written between two frames and with a line end of its own, so that whatever
        // comes after the last bar starts on a new line.
        self.all.suspend(|| {
            let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
        });
    }

    fn clear(&mut self) {
        for (_, bar) in self.running.drain() {
            bar.finish_and_clear();
        }
        let _ = self.all.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::Task;
    use crate::model::Failure;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn draw(style: Style, detail: Detail, what: impl FnOnce(&Emitter)) -> String {
        let written = Written::default();
        let progress = Progress::to(style, detail, Palette::default(), Box::new(written.clone()));
        what(&progress.emitter());
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn a_bit_of_everything(events: &Emitter) {
        let task = Task::start(events, "layer \u{1b}[31mkernel");
        events.log("dpkg", "\u{1b}[2JSetting up linux\r");
        events.warn("mirror is slow");
        task.finish("built, 186 MiB");
        drop(Task::start(events, "boot bios"));
        let failure = Failure::host("no disk").hint("Free some.");
        events.emit(Event::Failed { image: "gw".parse().unwrap(), failure });
    }

    #[test]
    fn lines_tell_beginnings_and_ends_without_escapes() {
        let text = draw(Style::Lines, Detail::Normal, a_bit_of_everything);
        assert_eq!(
            text,
            "… layer kernel\nwarning: mirror is slow\n✔ layer kernel  0.0 s  built, 186 MiB\n… boot bios\n\
             ✘ boot bios  0.0 s  failed\nerror: gw: no disk\nhint: Free some.\n"
        );
    }

    #[test]
    fn quiet_keeps_warnings_and_failures() {
        for style in [Style::Lines, Style::Bars] {
            let text = draw(style, Detail::Quiet, a_bit_of_everything);
            assert_eq!(text, "warning: mirror is slow\nerror: gw: no disk\nhint: Free some.\n");
        }
    }

    #[test]
    fn verbose_shows_what_tools_say_and_nothing_that_a_terminal_obeys() {
        let text = draw(Style::Lines, Detail::Verbose, a_bit_of_everything);
        assert!(text.contains("  dpkg: Setting up linux\n"), "{text}");
        assert!(!text.contains('\u{1b}') && !text.contains('\r'));
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = draw(Style::Json, Detail::Normal, a_bit_of_everything);
        let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let kinds: Vec<_> = lines.iter().map(|l| l["event"].as_str().unwrap()).collect();
        assert_eq!(
            kinds,
            ["task-started", "warning", "task-finished", "task-started", "task-finished", "failed"]
        );
        assert!(lines.iter().all(|l| l["format"] == 1));
        assert!(!text.contains('\u{1b}'));
        assert!(draw(Style::Json, Detail::Verbose, a_bit_of_everything).contains("\"log\""));
    }

    #[test]
    fn a_broken_pipe_does_not_stop_the_work() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
        }
        for style in [Style::Lines, Style::Json] {
            let progress = Progress::to(style, Detail::Verbose, Palette::default(), Box::new(Closed));
            a_bit_of_everything(&progress.emitter());
        }
    }

    #[test]
    fn long_labels_are_cut_by_characters() {
        assert_eq!(cut("short"), "short");
        let cut = cut(&"ä".repeat(100));
        assert_eq!(cut.chars().count(), LABEL_WIDTH);
        assert!(cut.ends_with('…'));
    }
}
