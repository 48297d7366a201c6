//! A prompt as words, numbers and marks, each with its place in the text.

use std::ops::Range;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Letters, perhaps with digits behind them.
    Word,
    /// Digits, perhaps with dots between them.
    Number,
    /// A path or an address, taken as it stands.
    Place,
    /// A mark that ends or parts something: `,` `;` `.` `!` `?` `:` `(` `)` or a line break.
    Mark(char),
}

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its bytes in the prompt.
    pub span: Range<usize>,
    /// The form that is compared: lower case, no accents, no apostrophe.
    pub text: String,
    /// What joins it to the token before it without a blank: `-` in `linux-zen`; a NUL where
    /// nothing stands between, as in `20GB`.
    pub joined: Option<char>,
}

impl Token {
    /// Whether it is a mark of this kind.
    pub fn is_mark(&self, mark: char) -> bool {
        self.kind == Kind::Mark(mark)
    }
}

/// Lines up to this length are lines of a list, not of a wrapped paragraph.
const SHORT_LINE: usize = 50;

/// Paths and addresses are no longer, in bytes.
const LONGEST_PLACE: usize = 256;

/// Reads a prompt into tokens. Takes time in proportion to its length.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut reader = Reader { text, at: 0, tokens: Vec::new(), joined: None, line_start: 0 };
    reader.bullet();
    while reader.step() {}
    reader.tokens
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
    joined: Option<char>,
    line_start: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn second(&self) -> Option<char> {
        self.text[self.at..].chars().nth(1)
    }

    fn step(&mut self) -> bool {
        let Some(c) = self.peek() else { return false };
        let glued = self.joined.is_some();
        if c == '\n' {
            self.line_break();
        } else if c.is_whitespace() || c.is_control() {
            self.at += c.len_utf8();
            self.joined = None;
        } else if self.place(glued) {
            self.joined = Some('\0');
        } else if c.is_ascii_digit() {
            self.number();
        } else if c.is_alphabetic() {
            self.word();
        } else {
            self.mark(c);
        }
        true
    }

    fn push(&mut self, kind: Kind, span: Range<usize>, text: String) {
        self.at = span.end;
        let joined = self.joined.take();
        self.tokens.push(Token { kind, span, text, joined });
        if !matches!(kind, Kind::Mark(_)) {
            self.joined = Some('\0');
        }
    }

    fn line_break(&mut self) {
        let line = &self.text[self.line_start..self.at];
        let start = self.at;
        self.at += 1;
        self.line_start = self.at;
        let rest = &self.text[self.at..];
        let next = rest.split('\n').next().unwrap_or_default().trim();
        let bullet = next.starts_with(['-', '*', '•']) || numbered(next).is_some();
        self.joined = None;
        if next.is_empty() || bullet || line.trim().chars().count() <= SHORT_LINE {
            self.push(Kind::Mark('\n'), start..start + 1, "\n".to_owned());
        }
        self.joined = None;
        self.bullet();
    }

    /// Passes over the sign or number that a line of a list begins with.
    fn bullet(&mut self) {
        let line = self.text[self.at..].split('\n').next().unwrap_or_default();
        let indent = line.len() - line.trim_start().len();
        if let Some(length) = numbered(line.trim_start()) {
            self.at += indent + length;
        }
    }

    /// A path, an address with a scheme, a network.
    fn place(&mut self, glued: bool) -> bool {
        let rest = &self.text[self.at..];
        // Longer ones would make the time grow with the square of the length.
        let rest = &rest[..rest.floor_char_boundary(LONGEST_PLACE)];
        let word =
            rest.split(|c: char| c.is_whitespace() || ",;!?()\"'<>`".contains(c)).next().unwrap_or_default();
        let word = word.trim_end_matches(['.', '!', '?', ':']);
        let scheme = word.split_once("://").is_some_and(|(scheme, after)| {
            !scheme.is_empty()
                && !after.is_empty()
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+')
        });
        let path = word.starts_with('/')
            && (word.len() == 1 || word[1..].starts_with(|c: char| c.is_alphanumeric()));
        let network = word.split('.').count() == 4
            && word.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'/')
            && word.bytes().filter(|b| *b == b'/').count() <= 1;
        let locale = is_locale(word);
        let git = word.starts_with("git@") && word.contains(':');
        if glued || !(scheme || path || network || locale || git) {
            return false;
        }
        self.push(Kind::Place, self.at..self.at + word.len(), word.to_owned());
        true
    }

    fn number(&mut self) {
        let rest = &self.text[self.at..];
        let bytes = rest.as_bytes();
        let mut end = 0;
        while end < bytes.len()
            && (bytes[end].is_ascii_digit()
                || (bytes[end] == b'.' && bytes.get(end + 1).is_some_and(u8::is_ascii_digit)))
        {
            end += 1;
        }
        let text = rest[..end].to_owned();
        self.push(Kind::Number, self.at..self.at + end, text);
    }

    fn word(&mut self) {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        let mut text = folded(&rest[..end]);
        let mut end = end;
        // c++, g++, c#
        for tail in ["++", "#"] {
            if text.len() == 1 && rest[end..].starts_with(tail) {
                text.push_str(tail);
                end += tail.len();
            }
        }
        // don't → dont, it's → it, students' → students
        if let Some(apostrophe) = rest[end..].chars().next().filter(|c| matches!(c, '\'' | '’' | '`')) {
            let after = &rest[end + apostrophe.len_utf8()..];
            let tail_end = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
            let tail = folded(&after[..tail_end]);
            if ["s", "d", "m", "ll", "re", "ve", "t"].contains(&tail.as_str()) {
                end += apostrophe.len_utf8() + tail_end;
                if tail == "t" {
                    text.push('t');
                }
            }
        }
        self.push(Kind::Word, self.at..self.at + end, text);
    }

    fn mark(&mut self, c: char) {
        let start = self.at;
        let before = self.tokens.last().is_some_and(|t| t.span.end == start);
        let next = self.second();
        self.at += c.len_utf8();
        let inside = before && next.is_some_and(char::is_alphanumeric);
        match c {
            '-' | '_' | '/' | '.' | ':' | '+' | '@' | '\'' | '’' | '=' if inside && self.joined.is_some() =>
            {
                self.joined = Some(c);
            }
            ',' | ';' | '!' | '?' | ':' | '(' | ')' | '.' | '|' | '=' => {
                let mark = match c {
                    '|' => ';',
                    '=' => ':',
                    c => c,
                };
                self.joined = None;
                // An ellipsis is one mark.
                if !self.tokens.last().is_some_and(|t| t.is_mark(mark) && t.span.end == start) {
                    self.push(Kind::Mark(mark), start..start + c.len_utf8(), mark.to_string());
                }
            }
            '…' | '—' | '–' => {
                self.joined = None;
                let mark = if c == '…' { '.' } else { ';' };
                self.push(Kind::Mark(mark), start..start + c.len_utf8(), mark.to_string());
            }
            '&' => {
                self.joined = None;
                self.push(Kind::Word, start..start + 1, "and".to_owned());
                self.joined = None;
            }
            '+' => {
                self.joined = None;
                self.push(Kind::Word, start..start + 1, "plus".to_owned());
                self.joined = None;
            }
            _ => self.joined = None,
        }
    }
}

/// How long the number is that a line of a list begins with: `1.` or `2)`.
fn numbered(line: &str) -> Option<usize> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let after = &line[digits..];
    ((1..=2).contains(&digits) && (after.starts_with(". ") || after.starts_with(") "))).then_some(digits + 1)
}

/// `de_DE`, `de_DE.UTF-8`.
pub fn is_locale(word: &str) -> bool {
    let (name, charset) = word.split_once('.').unwrap_or((word, "UTF-8"));
    let bytes = name.as_bytes();
    bytes.len() == 5
        && bytes[..2].iter().all(u8::is_ascii_lowercase)
        && bytes[2] == b'_'
        && bytes[3..].iter().all(u8::is_ascii_uppercase)
        && ["utf-8", "utf8"].contains(&charset.to_ascii_lowercase().as_str())
}

/// Lower case, without the accents of European languages.
pub fn folded(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    for c in word.chars().flat_map(char::to_lowercase) {
        match c {
            'à'..='å' | 'ā' | 'ă' | 'ą' => text.push('a'),
            'ç' | 'ć' | 'č' => text.push('c'),
            'è'..='ë' | 'ē' | 'ę' | 'ě' => text.push('e'),
            'ì'..='ï' | 'ī' | 'ı' => text.push('i'),
            'ñ' | 'ń' | 'ň' => text.push('n'),
            'ò'..='ö' | 'ø' | 'ō' | 'ő' => text.push('o'),
            'ù'..='ü' | 'ū' | 'ů' | 'ű' => text.push('u'),
            'ý' | 'ÿ' => text.push('y'),
            'ś' | 'š' | 'ş' => text.push('s'),
            'ź' | 'ż' | 'ž' => text.push('z'),
            'ł' => text.push('l'),
            'ß' => text.push_str("ss"),
            'æ' => text.push_str("ae"),
            // What some letters are made of when they are put together from two.
            '\u{300}'..='\u{36f}' => {}
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(prompt: &str) -> Vec<String> {
        tokens(prompt).into_iter().map(|t| t.text).collect()
    }

    #[test]
    fn words_numbers_and_marks() {
        assert_eq!(texts("Arch-based, hyprland!"), ["arch", "based", ",", "hyprland", "!"]);
        assert_eq!(texts("ubuntu 24.04 LTS."), ["ubuntu", "24.04", "lts", "."]);
        assert_eq!(texts("20GB root"), ["20", "gb", "root"]);
        assert_eq!(texts("don't / it's / C++"), ["dont", "/", "it", "/", "c++"]);
        assert_eq!(texts("x86_64 luks2 3am"), ["x86", "64", "luks2", "3", "am"]);
        assert_eq!(texts("22/tcp"), ["22", "tcp"]);
        assert_eq!(texts("München & Köln"), ["munchen", "and", "koln"]);
    }

    #[test]
    fn places_stay_whole() {
        assert_eq!(texts("50 GB /home, s3://b/c."), ["50", "gb", "/home", ",", "s3://b/c", "."]);
        assert_eq!(texts("from 192.168.1.0/24"), ["from", "192.168.1.0/24"]);
        assert_eq!(texts("locale de_DE.UTF-8"), ["locale", "de_DE.UTF-8"]);
        assert_eq!(texts("debian/xfce"), ["debian", "xfce"]);
    }

    #[test]
    fn lists_have_line_ends_and_paragraphs_do_not() {
        assert_eq!(texts("1. debian\n2. xfce"), ["debian", "\n", "xfce"]);
        assert_eq!(texts("- no games\n- git"), ["no", "games", "\n", "git"]);
        let wrapped = "a paragraph that somebody's mail program wrapped at the\nend of a line";
        assert!(!texts(wrapped).contains(&"\n".to_owned()));
    }

    #[test]
    fn spans_are_of_the_prompt() {
        let prompt = "Köln: don't, 20GB → /home\n* Straße 5.5…";
        for token in tokens(prompt) {
            assert!(prompt.get(token.span.clone()).is_some(), "{token:?}");
        }
    }
}
