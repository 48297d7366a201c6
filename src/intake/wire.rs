//! The two wire formats that models speak: Ollama's own, and the one of OpenAI's chat
//! completions that most services understand.

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How a model is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `POST /api/chat` with a JSON Schema in `format` (Ollama, docs/api.md, "Structured outputs").
    Ollama,
    /// `POST /v1/chat/completions` with `response_format: json_schema` (OpenAI, API reference,
    /// "Create chat completion").
    OpenAi,
}

impl std::str::FromStr for Kind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ollama" => Ok(Self::Ollama),
            "openai" => Ok(Self::OpenAi),
            _ => Err(format!("there is no kind {text:?} of language model: write ollama or openai")),
        }
    }
}

/// One turn of a conversation.
#[derive(Clone, Debug, Serialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: &'static str,
    /// What is said.
    pub content: String,
}

/// Where a question goes: a base address is made whole.
pub fn address(kind: Kind, base: Url) -> Url {
    let path = base.path().trim_end_matches('/').to_owned();
    let end = match kind {
        Kind::Ollama if path.ends_with("/api/chat") => "",
        Kind::Ollama if path.ends_with("/api") => "/chat",
        Kind::Ollama => "/api/chat",
        Kind::OpenAi if path.ends_with("/chat/completions") => "",
        // `…/v1`, `…/v1beta/openai`
        Kind::OpenAi if path.ends_with("/v1") || path.ends_with("/openai") => "/chat/completions",
        Kind::OpenAi => "/v1/chat/completions",
    };
    let mut url = base;
    url.set_path(&format!("{path}{end}"));
    url
}

/// The body of a question that is to be answered under a schema.
pub fn question(kind: Kind, model: &str, messages: &[Message], schema: &Value) -> Value {
    match kind {
        Kind::Ollama => json!({
            "model": model,
            "messages": messages,
            "stream": false,
            "format": schema,
            "options": {"temperature": 0},
        }),
        Kind::OpenAi => json!({
            "model": model,
            "messages": messages,
            "temperature": 0,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "os_image", "schema": schema},
            },
        }),
    }
}

#[derive(Deserialize)]
struct Spoken {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct OllamaAnswer {
    message: Spoken,
    #[serde(default)]
    done_reason: Option<String>,
}

#[derive(Deserialize)]
struct Choice {
    message: Spoken,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct OpenAiAnswer {
    choices: Vec<Choice>,
}

/// What a model says in an answer.
///
/// # Errors
/// What is wrong with the answer, in one sentence.
pub fn content(kind: Kind, text: &str) -> Result<String, String> {
    let broken = |e: serde_json::Error| {
        format!(
            "the service's answer is not what this kind of service says (line {}, column {})",
            e.line(),
            e.column()
        )
    };
    let (spoken, ended) = match kind {
        Kind::Ollama => {
            let answer: OllamaAnswer = serde_json::from_str(text).map_err(broken)?;
            (answer.message, answer.done_reason)
        }
        Kind::OpenAi => {
            let answer: OpenAiAnswer = serde_json::from_str(text).map_err(broken)?;
            let choice = answer.choices.into_iter().next().ok_or("the service's answer holds no choice")?;
            (choice.message, choice.finish_reason)
        }
    };
    if spoken.refusal.is_some_and(|refusal| !refusal.is_empty()) {
        return Err("the model refuses to answer".to_owned());
    }
    if ended.as_deref() == Some("length") {
        return Err("the answer was cut off; answer shorter, without null and empty fields".to_owned());
    }
    spoken.content.filter(|c| !c.trim().is_empty()).ok_or_else(|| "the answer is empty".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_made_whole() {
        for (kind, base, whole) in [
            (Kind::Ollama, "http://127.0.0.1:11434", "http://127.0.0.1:11434/api/chat"),
            (Kind::Ollama, "http://127.0.0.1:11434/api/", "http://127.0.0.1:11434/api/chat"),
            (Kind::OpenAi, "https://m.example.org", "https://m.example.org/v1/chat/completions"),
            (
                Kind::OpenAi,
                "https://m.example.org/openai/v1/",
                "https://m.example.org/openai/v1/chat/completions",
            ),
            (
                Kind::OpenAi,
                "https://m.example.org/v1beta/openai",
                "https://m.example.org/v1beta/openai/chat/completions",
            ),
            (
                Kind::OpenAi,
                "https://m.example.org/v1/chat/completions",
                "https://m.example.org/v1/chat/completions",
            ),
        ] {
            assert_eq!(address(kind, Url::parse(base).unwrap()).as_str(), whole);
        }
    }

    /// Answers as the two API descriptions show them, shortened.
    #[test]
    fn answers_of_both_kinds() {
        let ollama = r#"{"model":"llama3.1","created_at":"2024-12-06T00:46:58.265747Z","message":{"role":"assistant","content":"{}"},"done_reason":"stop","done":true,"eval_count":12}"#;
        assert_eq!(content(Kind::Ollama, ollama), Ok("{}".to_owned()));
        let openai = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"{}","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{}}"#;
        assert_eq!(content(Kind::OpenAi, openai), Ok("{}".to_owned()));
        for (kind, bad) in [
            (Kind::Ollama, openai),
            (Kind::OpenAi, ollama),
            (Kind::OpenAi, r#"{"choices":[]}"#),
            (Kind::OpenAi, r#"{"choices":[{"message":{"content":null,"refusal":"no"}}]}"#),
            (Kind::OpenAi, r#"{"choices":[{"message":{"content":"{"},"finish_reason":"length"}]}"#),
            (Kind::Ollama, r#"{"message":{"content":"  "}}"#),
            (Kind::Ollama, r#"{"error":"model not found"}"#),
            (Kind::Ollama, "<html>"),
            (Kind::Ollama, ""),
        ] {
            assert!(content(kind, bad).is_err(), "{bad}");
        }
    }
}
