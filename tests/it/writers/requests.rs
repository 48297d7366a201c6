//! Who is no card writer of the catalog gets no answer, and no request is answered twice.

use super::bench::Bench;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bootwright::effects::post::Service;
use bootwright::model::http_signature::{Headers, Params};
use ed25519_dalek::{Signer as _, SigningKey};
use std::fs;
use std::time::Duration;

const CLAIM: &str = "/v1/writer/claim";

struct Asker {
    service: Service,
    key: SigningKey,
    body: Vec<u8>,
}

impl Asker {
    fn of(bench: &Bench) -> Self {
        let authority = fs::read(bench.path("ca.pem")).unwrap();
        let service = Service::new(&format!("https://{}", bench.address), Some(&authority)).unwrap();
        let text = fs::read_to_string(bench.folder.join("writer.key")).unwrap();
        let seed = BASE64.decode(text.trim().strip_prefix("ed25519-private:").unwrap()).unwrap();
        let body = serde_json::json!({
            "slot": "a", "path": bench.port, "instance": "x", "waitSeconds": 0
        });
        Self {
            service,
            key: SigningKey::from_bytes(&seed.try_into().unwrap()),
            body: body.to_string().into(),
        }
    }

    fn headers(&self, nonce: &str, apart: i64) -> Headers {
        #[expect(clippy::disallowed_methods, reason = "the test signs now, as an agent does")]
        let created = chrono::Utc::now().timestamp() + apart;
        let params = Params { created, nonce: nonce.to_owned(), key_id: "bench-1".parse().unwrap() };
        params.sign("POST", CLAIM, &self.body, |bytes| BASE64.encode(self.key.sign(bytes).to_bytes()))
    }

    fn post(&self, path: &str, headers: &Headers, body: &[u8]) -> u16 {
        let headers = [
            ("content-digest", headers.content_digest.as_str()),
            ("signature-input", headers.signature_input.as_str()),
            ("signature", headers.signature.as_str()),
        ];
        let asked = self.service.post(path, &headers, body.to_vec(), Duration::from_secs(20));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(asked).unwrap().status
    }
}

#[test]
fn only_what_a_card_writer_signed_just_now_is_answered_once() {
    let Some(mut bench) = Bench::new("") else { return };
    let _serving = bench.serve(&[]);
    let (code, report) = bench.enroll_with(&"0".repeat(64), "keys/k.pub");
    assert_eq!(code, 7, "a wrong token: {report}");
    let (_, token) = bench.controller(&["writer", "token", "bench-1"]);
    let token = token["token"].as_str().unwrap().to_owned();
    assert_eq!(bench.enroll_with(&token, "keys/k.pub").0, 0);
    let mut other = Asker::of(&bench);
    assert_eq!(bench.enroll_with(&token, "keys/k.pub").0, 7, "a token is good once");
    let asker = Asker::of(&bench);
    let nonce = |n: u8| format!("{n:032x}");
    let good = asker.headers(&nonce(1), 0);
    assert_eq!(asker.post(CLAIM, &good, b"{}"), 401, "another body");
    assert_eq!(asker.post("/v1/writer/beat", &good, &asker.body), 401, "another path");
    assert_eq!(asker.post(CLAIM, &asker.headers(&nonce(2), -1000), &asker.body), 401, "too old");
    assert_eq!(asker.post(CLAIM, &asker.headers(&nonce(3), 1000), &asker.body), 401, "from the future");
    other.key = SigningKey::from_bytes(&[7; 32]);
    assert_eq!(other.post(CLAIM, &other.headers(&nonce(4), 0), &other.body), 401, "another key");
    let none =
        Headers { content_digest: String::new(), signature_input: String::new(), signature: String::new() };
    assert_eq!(asker.post(CLAIM, &none, &asker.body), 401, "no signature");
    assert_eq!(asker.post("/v1/writer/none", &good, &asker.body), 404);
    assert_eq!(asker.post(CLAIM, &good, &vec![b' '; 100_000]), 413, "too long");
    assert_eq!(asker.post(CLAIM, &good, &asker.body), 200);
    assert_eq!(asker.post(CLAIM, &good, &asker.body), 401, "a second time");
    // Another installation with the same key does not get the job that this one has.
    assert_eq!(bench.states(), ["claimed"]);
    // Somebody else's certificate is not believed.
    let stranger = Service::new(&format!("https://{}", bench.address), None).unwrap();
    let asked = stranger.post(CLAIM, &[], Vec::new(), Duration::from_secs(20));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(runtime.block_on(asked).is_err());
}
