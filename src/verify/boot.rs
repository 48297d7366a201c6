//! One boot of one image: machine, serial line and session put together, and the evidence
//! that they leave.

use super::dialogue::{Action, Dialogue, Input};
use super::machine::{Config, Machine, Output};
use super::picture;
use super::qmp::Message;
use super::serial::{Milestone, Seen, Serial};
use crate::effects::files::{WorkFolder, write_atomic};
use crate::effects::{Cancel, Task};
use crate::model::event::Emitter;
use crate::model::evidence::{Check, EvidenceFile, Verdict};
use crate::model::probe::Reader;
use crate::model::spec::BootMode;
use crate::model::{Failure, FailureClass, Result};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often time passes for the session.
const TICK: Duration = Duration::from_millis(50);
/// After a panic the kernel still says where; so long is it listened to.
const AFTERMATH: Duration = Duration::from_millis(500);
/// GRUB's words while its menu waits.
const COUNTDOWN: &str = "will be executed automatically in";
/// So often the screen is looked at then, and so many times at most.
const START_EVERY: Duration = Duration::from_secs(3);
const MOST_STARTS: usize = 100;
/// By then there was a menu, or there is none.
const MENU_LIMIT: Duration = Duration::from_secs(30);
/// How long QEMU may take for a picture of the screen.
const PICTURE_LIMIT: Duration = Duration::from_secs(10);

/// One boot to be made.
#[derive(Debug)]
pub struct Boot<'a> {
    /// The machine.
    pub config: Config<'a>,
    /// What the evidence's files are below: `bios`.
    pub name: &'a str,
    /// Whether something is to be seen while the system starts.
    pub shows_start: bool,
    /// Where the machine's own folder is made.
    pub scratch: &'a Path,
    /// Where the evidence goes: a folder with the name is made in it.
    pub evidence: &'a Path,
}

impl Boot<'_> {
    /// Makes it, and talks to the system.
    ///
    /// # Errors
    /// *Cancelled* on request; class *host* if the evidence cannot be written. That the
    /// machine cannot be started is a verdict, not an error.
    pub fn run(&self, dialogue: Box<dyn Dialogue + '_>, events: &Emitter, cancel: &Cancel) -> Result<Check> {
        let mode = self.config.mode;
        let task = Task::start(events, format!("boot {}", self.name));
        let folder = WorkFolder::new(self.scratch, &format!("boot-{}", self.name))?;
        let record = match Machine::start(&self.config, folder.path(), cancel) {
            Ok(machine) => self.watch(machine, dialogue, events, cancel)?,
            Err(failure) => Record::failed(failure)?,
        };
        let outcome = outcome(&record.verdict);
        let check = record.write(self.evidence, self.name, mode)?;
        task.finish(outcome);
        Ok(check)
    }

    fn watch(
        &self,
        machine: Machine,
        dialogue: Box<dyn Dialogue + '_>,
        events: &Emitter,
        cancel: &Cancel,
    ) -> Result<Record> {
        let mut watch = Watch {
            machine,
            dialogue,
            serial: Serial::default(),
            reader: Reader::default(),
            started: Instant::now(),
            pending: None,
            pictures: [Picture::None, Picture::None, Picture::None],
            start: self.shows_start.then(Starting::default),
            panicked: None,
            source: format!("boot {}", self.name),
            events,
        };
        let verdict = watch.run(cancel)?;
        let verdict = watch.weigh_host(verdict);
        watch.take_last_picture(&verdict);
        Ok(watch.into_record(verdict))
    }
}

/// What came of it, in a few words.
fn outcome(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Passed => "passed".to_owned(),
        Verdict::Panic { .. } => "the kernel panicked".to_owned(),
        Verdict::Hang { last } => format!("no signal after {last}"),
        Verdict::Reset { last } => format!("reset after {last}"),
        Verdict::Refused { reasons } => format!("refused: {}", reasons.join("; ")),
        Verdict::MachineFailed { .. } => "the virtual machine failed".to_owned(),
    }
}

/// What one boot left.
#[derive(Debug)]
struct Record {
    verdict: Verdict,
    findings: Vec<String>,
    timings: Vec<(String, u64)>,
    serial: String,
    /// By their names in the evidence.
    pictures: Vec<(&'static str, Vec<u8>)>,
}

impl Record {
    /// Of a machine that did not start.
    fn failed(failure: Failure) -> Result<Self> {
        if failure.class == FailureClass::Cancelled {
            return Err(failure);
        }
        let words = [Some(failure.message), failure.details, failure.hint];
        let message = words.into_iter().flatten().collect::<Vec<_>>().join(": ");
        Ok(Self {
            verdict: Verdict::MachineFailed { message },
            findings: Vec::new(),
            timings: Vec::new(),
            serial: String::new(),
            pictures: Vec::new(),
        })
    }

    fn write(self, evidence: &Path, name: &str, mode: BootMode) -> Result<Check> {
        let mut check = Check {
            name: format!("boot-{}", mode.as_str()),
            boot: Some(mode),
            verdict: self.verdict,
            timings_ms: self.timings,
            findings: self.findings,
            files: Vec::new(),
        };
        let mut results = serde_json::to_vec_pretty(&check)
            .map_err(|e| Failure::bug(format!("writing the results of {}: {e}", check.name)))?;
        results.push(b'\n');
        let folder = name;
        let mut put = |name: &str, bytes: &[u8]| -> Result<()> {
            let path = evidence.join(folder).join(name);
            write_atomic(&path, bytes, 0o644)?;
            check.files.push(EvidenceFile { name: format!("{folder}/{name}"), path });
            Ok(())
        };
        put("results.json", &results)?;
        put("serial.log", self.serial.as_bytes())?;
        for (name, picture) in &self.pictures {
            put(name, picture)?;
        }
        Ok(check)
    }
}

/// What a picture of the screen shows, and its name in the evidence. The first is the one that
/// pages show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shot {
    /// The system, or how it ended.
    System,
    /// The boot loader's menu.
    Menu,
    /// What is seen while the system starts, if the spec asks for something then.
    Start,
}

impl Shot {
    const ALL: [Self; 3] = [Self::System, Self::Menu, Self::Start];

    fn name(self) -> &'static str {
        match self {
            Self::System => "screenshot.png",
            Self::Menu => "menu.png",
            Self::Start => "start.png",
        }
    }
}

/// Pictures of the screen while the first boot goes on. Nothing on the serial line says when the
/// right moment is: who shows a picture holds the console too.
#[derive(Debug, Default)]
struct Starting {
    /// Each with the time since power-on.
    seen: Vec<(Duration, Vec<u8>)>,
    asked: Duration,
    /// When the serial line first showed a kernel, or what comes after it.
    kernel: Option<Duration>,
}

impl Starting {
    /// One of the later ones since the kernel started. The last ones may show the end of it.
    fn chosen(self) -> Picture {
        let from = self.kernel.unwrap_or_default();
        let mut seen: Vec<_> = self.seen.into_iter().filter(|(at, _)| *at >= from).collect();
        match seen.len() {
            0 => Picture::Failed("the system was there before one was taken".to_owned()),
            count => Picture::Taken(seen.swap_remove(count * 2 / 3).1),
        }
    }
}

/// A picture of the screen.
#[derive(Debug)]
enum Picture {
    None,
    Taken(Vec<u8>),
    Failed(String),
}

/// A machine that is watched.
struct Watch<'a> {
    machine: Machine,
    dialogue: Box<dyn Dialogue + 'a>,
    serial: Serial,
    reader: Reader,
    started: Instant,
    /// The picture that was asked for.
    pending: Option<(u64, Shot)>,
    /// In the order of [`Shot::ALL`].
    pictures: [Picture; 3],
    /// While pictures of the start are taken.
    start: Option<Starting>,
    panicked: Option<Instant>,
    source: String,
    events: &'a Emitter,
}

impl Watch<'_> {
    fn run(&mut self, cancel: &Cancel) -> Result<Verdict> {
        self.started = Instant::now();
        if self.machine.power_on().is_err() {
            return Ok(Verdict::MachineFailed { message: self.machine.obituary() });
        }
        loop {
            cancel.check()?;
            let mut actions = match self.machine.next(TICK) {
                Some(output) => self.take(output),
                None => Vec::new(),
            };
            if self.panicked.is_some_and(|at| at.elapsed() >= AFTERMATH) {
                actions.extend(self.tell(Input::Panic("the guest reported a panic (pvpanic)".to_owned())));
            }
            self.look_at_start();
            let (last, stuck) = (self.serial.last(), self.serial.stuck());
            actions.extend(self.dialogue.tick(self.started.elapsed(), &last, stuck));
            for action in actions {
                if let Some(verdict) = self.perform(action) {
                    return Ok(verdict);
                }
            }
        }
    }

    /// A hang on a host that had no time for the machine says less about the image.
    fn weigh_host(&self, verdict: Verdict) -> Verdict {
        let waited = self.machine.processor_time().map_or(Duration::ZERO, |(_, waited)| waited);
        match verdict {
            Verdict::Hang { last } if waited >= self.started.elapsed() / 2 => Verdict::Hang {
                last: format!(
                    "{last}; this host was busy: in {} s the machine waited {} s for a processor",
                    self.started.elapsed().as_secs(),
                    waited.as_secs()
                ),
            },
            other => other,
        }
    }

    fn tell(&mut self, input: Input) -> Vec<Action> {
        self.dialogue.take(self.started.elapsed(), input, &self.serial.last())
    }

    fn perform(&mut self, action: Action) -> Option<Verdict> {
        match action {
            Action::Finish(verdict) => return Some(verdict),
            Action::Screenshot => self.ask_for_picture(Shot::System),
            Action::Say(line) => self.told(|machine| machine.say(&line)),
            Action::Type(keys) => self.told(|machine| machine.press(&keys)),
        }
        None
    }

    fn told(&mut self, tell: impl FnOnce(&mut Machine) -> Result<()>) {
        if let Err(failure) = tell(&mut self.machine) {
            // The guest may have closed the port; silence is judged by the clock.
            self.events.log(&self.source, failure.message);
        }
    }

    fn take(&mut self, output: Output) -> Vec<Action> {
        match output {
            Output::Serial(bytes) => self.take_serial(&bytes),
            Output::Probe(bytes) => {
                let answers = self.reader.push(&bytes);
                answers.into_iter().flat_map(|answer| self.tell(Input::Answer(Box::new(answer)))).collect()
            }
            Output::Qmp(Message::Event { name, data }) => self.take_event(&name, &data),
            Output::Qmp(Message::Reply { id, result }) => self.take_reply(id, result),
            Output::Closed => {
                let words = self.machine.obituary();
                self.tell(Input::Failed(words))
            }
        }
    }

    fn take_serial(&mut self, bytes: &[u8]) -> Vec<Action> {
        let mut actions = Vec::new();
        for seen in self.serial.push(bytes) {
            match seen {
                Seen::Milestone(m) => {
                    let now = self.started.elapsed();
                    if let Some(start) = self.start.as_mut().filter(|_| m >= Milestone::Kernel) {
                        start.kernel.get_or_insert(now);
                    }
                    self.dialogue.milestone(now, m.as_str());
                }
                Seen::Panic(words) => actions.extend(self.tell(Input::Panic(words))),
                Seen::Line(line) => {
                    if line.contains(COUNTDOWN) {
                        self.ask_once(Shot::Menu);
                        if self.dialogue.hurries() {
                            // Without it the menu goes on by itself a few seconds later.
                            let _ = self.machine.press("\r");
                        }
                    }
                    self.events.log(&self.source, line);
                }
            }
        }
        actions.extend(self.tell(Input::Serial(bytes.to_vec())));
        actions
    }

    fn take_event(&mut self, name: &str, data: &Value) -> Vec<Action> {
        match name {
            "VSERPORT_CHANGE" if data["id"] == "probe" => {
                if data["open"] == true
                    && let Some(start) = self.start.take()
                {
                    self.pictures[Shot::Start as usize] = start.chosen();
                }
                self.tell(Input::Port { open: data["open"] == true })
            }
            "RESET" if data["guest"] == true => {
                let actions = self.tell(Input::Reset);
                self.serial.restart();
                self.reader = Reader::default();
                actions
            }
            "SHUTDOWN" => {
                let reason = data["reason"].as_str().unwrap_or("for no reason that it gives").to_owned();
                self.tell(Input::Shutdown { reason })
            }
            "GUEST_PANICKED" => {
                self.panicked.get_or_insert_with(Instant::now);
                Vec::new()
            }
            "BLOCK_IO_ERROR" => {
                self.tell(Input::Failed(format!("the medium cannot be read: {}", data["reason"])))
            }
            _ => Vec::new(),
        }
    }

    fn take_reply(&mut self, id: u64, result: Result<Value, String>) -> Vec<Action> {
        if let Some((_, shot)) = self.pending.filter(|(pending, _)| *pending == id) {
            self.pending = None;
            let picture = match result {
                Ok(_) => read_picture(&self.machine.folder().join(PICTURE)),
                Err(words) => Picture::Failed(words),
            };
            match (&mut self.start, shot, picture) {
                (Some(start), Shot::Start, Picture::Taken(bytes)) => start.seen.push((start.asked, bytes)),
                // It comes late, or not at all: one of the others is taken.
                (_, Shot::Start, _) => {}
                (_, shot, picture) => self.pictures[shot as usize] = picture,
            }
            return Vec::new();
        }
        match result {
            Ok(_) => Vec::new(),
            Err(words) => self.tell(Input::Failed(format!("QEMU refused a request: {words}"))),
        }
    }

    fn ask_for_picture(&mut self, shot: Shot) {
        let asked = self.machine.request("screendump", &json!({"filename": PICTURE, "format": "png"}));
        self.pending = asked.ok().map(|id| (id, shot));
    }

    /// Takes a picture of the first boot, if none is being taken; the one of the system is not
    /// to be missed for it.
    fn ask_once(&mut self, shot: Shot) {
        if self.pending.is_none() && matches!(self.pictures[shot as usize], Picture::None) {
            self.ask_for_picture(shot);
        }
    }

    /// Looks at the screen every few seconds while the system starts; not before the menu was
    /// there, whose picture is not to be missed for it.
    fn look_at_start(&mut self) {
        let now = self.started.elapsed();
        let menu = !matches!(self.pictures[Shot::Menu as usize], Picture::None);
        let due = |start: &&mut Starting| {
            (menu || start.kernel.is_some() || now >= MENU_LIMIT)
                && start.seen.len() < MOST_STARTS
                && now.saturating_sub(start.asked) >= START_EVERY
        };
        if self.pending.is_none()
            && let Some(start) = self.start.as_mut().filter(due)
        {
            start.asked = now;
            self.ask_for_picture(Shot::Start);
        }
    }

    /// Waits for the picture, or takes one of how it ended.
    fn take_last_picture(&mut self, verdict: &Verdict) {
        if matches!(verdict, Verdict::MachineFailed { .. }) {
            return;
        }
        if *verdict != Verdict::Passed && self.pending.is_none() {
            self.ask_for_picture(Shot::System);
        }
        let began = Instant::now();
        let listen = if matches!(verdict, Verdict::Panic { .. }) { AFTERMATH } else { Duration::ZERO };
        while (self.pending.is_some() || began.elapsed() < listen) && began.elapsed() < PICTURE_LIMIT {
            match self.machine.next(TICK) {
                Some(Output::Closed) => break,
                Some(output) => drop(self.take(output)),
                None => {}
            }
        }
    }

    fn into_record(self, verdict: Verdict) -> Record {
        let time = self.machine.processor_time();
        self.machine.end();
        let (mut findings, timings) = self.dialogue.into_record();
        if let Some((ran, waited)) = time {
            findings.push(format!(
                "host: ran {} s, waited {} s for a processor",
                ran.as_secs(),
                waited.as_secs()
            ));
        }
        let mut pictures = Vec::new();
        for (shot, picture) in Shot::ALL.into_iter().zip(self.pictures) {
            match picture {
                Picture::Taken(bytes) => {
                    if shot == Shot::System {
                        findings.extend(picture::Picture::of(&bytes).map(|picture| picture.words()));
                    }
                    pictures.push((shot.name(), bytes));
                }
                Picture::Failed(why) if shot == Shot::System => {
                    findings.push(format!("no picture of the screen: {why}"));
                }
                Picture::Failed(why) => findings.push(format!("no {}: {why}", shot.name())),
                Picture::None => {}
            }
        }
        Record { verdict, findings, timings, serial: self.serial.into_log(), pictures }
    }
}

/// The picture's name in the machine's folder.
const PICTURE: &str = "screen.png";

fn read_picture(path: &Path) -> Picture {
    match crate::effects::files::read_if_exists(path, picture::LARGEST) {
        Ok(Some(bytes)) => match picture::check(&bytes) {
            Ok(_) => Picture::Taken(bytes),
            Err(why) => Picture::Failed(why.to_owned()),
        },
        Ok(None) => Picture::Failed("QEMU wrote none".to_owned()),
        Err(failure) => Picture::Failed(failure.message),
    }
}
