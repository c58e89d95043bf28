//! The list that Podman and CRI-O keep of their containers: `containers.json` of containers/storage. What a container is called is in a text
//! of JSON within it.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use aioinspect_model::container_names::Names;

/// The parts of an entry that are of interest.
#[derive(Deserialize)]
struct Container {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    metadata: String,
}

/// Reads the names of every container of the list, by id; none where it is no list. An entry that cannot be read is passed over.
pub fn names_by_id(list: &[u8]) -> HashMap<String, Names> {
    let list = serde_json::from_slice::<Vec<Value>>(list).unwrap_or_default();
    list.into_iter()
        .filter_map(|entry| {
            let Container { id, names, metadata } = Container::deserialize(entry).ok()?;
            Some((id, names_of(names, &metadata))).filter(|(_, names)| !names.is_empty())
        })
        .collect()
}

fn names_of(names: Vec<String>, metadata: &str) -> Names {
    let metadata = serde_json::from_str::<Value>(metadata).unwrap_or_default();
    let said = |key: &str| metadata.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let own = Names { container: names.into_iter().next().unwrap_or_default(), ..Names::default() };
    Names { container: said("name"), image: said("image-name"), ..Names::default() }.or(own)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Check an entry with metadata, one with a name alone, and lists that say nothing.
    #[test]
    fn lists() {
        let list = br#"[7,{"id":"a","names":["old"],"metadata":"{\"image-name\":\"docker.io/library/postgres:16\",\"name\":\"db\"}"},
            {"id":"b","names":["web","other"],"metadata":"no json"},{"id":"c","names":3}]"#;
        let of = |list: &[u8], id: &str| names_by_id(list).remove(id).unwrap_or_default();
        let db = of(list, "a");
        assert_eq!((&*db.container, &*db.image, &*db.pod), ("db", "docker.io/library/postgres:16", ""));
        let web = Names { container: "web".into(), ..Names::default() };
        assert_eq!(of(list, "b"), web);
        for (list, id) in [(&list[..], "c"), (list, "d"), (b"{}", "a"), (b"", "a"), (br#"[{"id":"a"}]"#, "a")]
        {
            assert!(of(list, id).is_empty(), "{id}");
        }
    }

    proptest! {
        /// Check that no bytes make it panic.
        #[test]
        fn any_bytes(bytes: Vec<u8>, metadata: String) {
            names_by_id(&bytes);
            let list = serde_json::json!([{"id": "a", "metadata": metadata}]);
            names_by_id(list.to_string().as_bytes());
        }
    }
}
