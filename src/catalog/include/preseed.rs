//! The pre-seed profiles of the installer (requirement 3, section 6.2): a name, the services
//! that are switched on, and the model that answers without network.
//!
//! ```yaml
//! profile: edge-iot
//! services: [nginx, mcp]
//! offline_model: phi3:instruct
//! ```

use super::super::yaml::{Key, Mark, Node, Value};
use crate::model::spec::API_VERSION;

/// The field that tells this form from a document with a kind.
const NAME: &str = "profile";

/// Turns a document in the installer's form into one of kind `Profile`; its values keep their
/// places. Other documents stay as they are, and so do fields that the form does not know.
pub fn as_profile(document: &mut Node) {
    let Value::Mapping(entries) = &mut document.value else { return };
    let has = |name: &str| entries.iter().any(|(key, _)| key.text == name);
    if !has(NAME) || has("kind") || has("spec") {
        return;
    }
    let mark = document.mark;
    let text = |text: &str| Node { mark, value: Value::Text(text.to_owned()) };
    let mut read = vec![(key(mark, "apiVersion"), text(API_VERSION)), (key(mark, "kind"), text("Profile"))];
    let mut services = Vec::new();
    for (own, node) in std::mem::take(entries) {
        let place = own.mark;
        match own.text.as_str() {
            NAME => {
                read.push((key(place, "metadata"), nested(place, "name", node)));
            }
            "services" => {
                let enable = nested(node.mark, "add", node);
                services.push((key(place, "enable"), enable));
            }
            "offline_model" => {
                let name =
                    (key(place, "name"), Node { mark: place, value: Value::Text("ollama".to_owned()) });
                let server = Value::Mapping(vec![name, (key(place, "model"), node)]);
                let servers = Value::List(vec![Node { mark: place, value: server }]);
                services.push((key(place, "ai"), nested(place, "add", Node { mark: place, value: servers })));
            }
            _ => read.push((own, node)),
        }
    }
    let services = Node { mark, value: Value::Mapping(services) };
    read.push((key(mark, "spec"), nested(mark, "services", services)));
    document.value = Value::Mapping(read);
}

fn key(mark: Mark, text: &str) -> Key {
    Key { mark, text: text.to_owned() }
}

fn nested(mark: Mark, name: &str, node: Node) -> Node {
    Node { mark, value: Value::Mapping(vec![(key(mark, name), node)]) }
}
