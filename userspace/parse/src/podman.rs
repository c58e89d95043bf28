//! The list that Podman and CRI-O keep of their containers: `containers.json` of containers/storage. What a container is called is in a text
//! of JSON within it.

use serde::Deserialize;
use serde_json::Value;

use aioinspect_model::container_names::Names;

/// The parts of an entry that are of interest.
#[derive(Deserialize)]
struct Container {
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    metadata: String,
}

/// Reads the names of the container of this id; none where the list does not have it, or is none. An entry that cannot be read is passed over.
pub fn names_in(list: &[u8], id: &str) -> Names {
    let Ok(list) = serde_json::from_slice::<Vec<Value>>(list) else { return Names::default() };
    let is_it = |entry: &&Value| entry.get("id").and_then(Value::as_str) == Some(id);
    let found = list.iter().find(is_it).and_then(|entry| Container::deserialize(entry).ok());
    let Some(Container { names, metadata }) = found else { return Names::default() };
    let metadata = serde_json::from_str::<Value>(&metadata).unwrap_or_default();
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
        let db = names_in(list, "a");
        assert_eq!((&*db.container, &*db.image, &*db.pod), ("db", "docker.io/library/postgres:16", ""));
        let web = Names { container: "web".into(), ..Names::default() };
        assert_eq!(names_in(list, "b"), web);
        for (list, id) in [(&list[..], "c"), (list, "d"), (b"{}", "a"), (b"", "a"), (br#"[{"id":"a"}]"#, "a")]
        {
            assert!(names_in(list, id).is_empty(), "{id}");
        }
    }

    proptest! {
        /// Check that no bytes make it panic.
        #[test]
        fn any_bytes(bytes: Vec<u8>, metadata: String) {
            names_in(&bytes, "a");
            let list = serde_json::json!([{"id": "a", "metadata": metadata}]);
            names_in(list.to_string().as_bytes(), "a");
        }
    }
}
