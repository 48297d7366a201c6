//! What may go to a terminal, and in which colours.
//!
//! Tools, packages and release stores say what they like; a terminal obeys what it is
//! told. So everything that we did not write ourselves is cleaned before it is shown.

/// Text without anything that a terminal obeys: escape sequences (ECMA-48), control
/// characters and the marks that turn the direction of writing. Line ends and tabs become spaces.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\n' | '\t' => out.push(' '),
            c if c.is_control() || turns_direction(c) => {}
            c => out.push(c),
        }
    }
    out
}

/// The same, line by line.
pub fn clean_lines(text: &str) -> Vec<String> {
    text.lines().map(clean).collect()
}

/// What a line shows in the end: tools that draw progress go back with carriage returns.
pub fn last_drawn(line: &str) -> String {
    let drawn = line.trim_end().rsplit('\r').find(|part| !part.trim().is_empty());
    clean(drawn.unwrap_or_default())
}

/// Skips the rest of an escape sequence. A control sequence (`ESC [`) ends with a letter
/// or one of `@[\]^_{|}~` and the back quote; an operating-system command (`ESC ]`) and its kin end with
/// BEL or `ESC \`; any other is one more character.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => {
            while let Some(c) = chars.next_if(|c| ('\u{20}'..='\u{7e}').contains(c)) {
                if ('\u{40}'..='\u{7e}').contains(&c) {
                    break;
                }
            }
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(c) = chars.next_if(|c| *c != '\n') {
                match c {
                    '\u{7}' => break,
                    '\u{1b}' => {
                        chars.next_if_eq(&'\\');
                        break;
                    }
                    _ => {}
                }
            }
        }
        Some('(' | ')' | '#' | '%' | ' ') => {
            chars.next_if(|c| !c.is_control());
        }
        _ => {}
    }
}

/// Unicode's bidirectional controls and invisible separators: they make a line read as
/// another one ("Trojan Source", CVE-2021-42574).
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Colours, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Palette {
    /// Whether escape sequences are written (ECMA-48, "Select Graphic Rendition").
    pub on: bool,
}

impl Palette {
    fn paint(self, code: &str, text: &str) -> String {
        if self.on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
    /// What went well.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }
    /// What needs a look.
    pub fn poor(self, text: &str) -> String {
        self.paint("33", text)
    }
    /// What went wrong.
    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }
    /// Names.
    pub fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }
    /// What is of lesser weight.
    pub fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }
}

/// A time span for people: `0.4 s`, `12.4 s`, `3 min 05 s`, `1 h 02 min`.
pub fn duration(elapsed_ms: u64) -> String {
    let seconds = elapsed_ms / 1000;
    match seconds {
        0..100 => format!("{seconds}.{} s", elapsed_ms % 1000 / 100),
        100..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        for (hostile, shown) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://evil\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}[2J\u{1b}[1;1Hfake", "fake"),
            ("\u{1b}(0lqk", "lqk"),
            ("a\u{8}\u{8}b\u{7f}", "ab"),
            ("\u{9b}31mcsi", "31mcsi"),
            ("one\ntwo\tthree", "one two three"),
            ("abc\u{202e}dcba\u{2066}", "abcdcba"),
            ("\u{1b}", ""),
            ("\u{1b}[", ""),
            ("\u{1b}]never ends", ""),
            ("\u{1b}[\u{1b}[31mx", "x"),
            ("Grüße, 世界 ✔", "Grüße, 世界 ✔"),
        ] {
            let cleaned = clean(hostile);
            assert_eq!(cleaned, shown, "{hostile:?}");
            assert!(!cleaned.chars().any(char::is_control));
        }
    }

    #[test]
    fn drawn_progress_shows_its_last_state() {
        assert_eq!(last_drawn("10%\r20%\r100% done\r\n"), "100% done");
        assert_eq!(last_drawn("plain"), "plain");
        assert_eq!(last_drawn("\r\r"), "");
    }

    #[test]
    fn time_spans() {
        assert_eq!(duration(0), "0.0 s");
        assert_eq!(duration(12_449), "12.4 s");
        assert_eq!(duration(99_999), "99.9 s");
        assert_eq!(duration(185_000), "3 min 05 s");
        assert_eq!(duration(3_720_000), "1 h 02 min");
    }

    #[test]
    fn no_colours_when_off() {
        assert_eq!(Palette { on: false }.bad("x"), "x");
        assert_eq!(Palette { on: true }.good("x"), "\u{1b}[32mx\u{1b}[0m");
    }
}
