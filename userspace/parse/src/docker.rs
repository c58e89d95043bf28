//! What Docker keeps of a container: `config.v2.json` in the directory of its id.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use aioinspect_model::container_names::{Names, names};

/// The parts that are of interest; of another type than expected they say nothing.
#[derive(Deserialize)]
struct Container {
    #[serde(rename = "Name", default)]
    name: Value,
    #[serde(rename = "Config", default)]
    config: Value,
}

/// Reads the names; none from what is not such a file. The kubelet's containers have labels for what else they are called.
pub fn names_in(text: &[u8]) -> Names {
    let Ok(container) = serde_json::from_slice::<Container>(text) else { return Names::default() };
    let labels: BTreeMap<String, Value> = container
        .config
        .get("Labels")
        .and_then(Value::as_object)
        .map(|labels| labels.clone().into_iter().collect())
        .unwrap_or_default();
    let own = Names {
        container: container.name.as_str().unwrap_or_default().trim_start_matches('/').to_owned(),
        image: container.config.get("Image").and_then(Value::as_str).unwrap_or_default().to_owned(),
        ..Names::default()
    };
    names(|key| labels.get(key)?.as_str().map(str::to_owned)).or(own)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Check a container, one of the kubelet's, and what is none.
    #[test]
    fn containers() {
        let plain = br#"{"ID":"x","Name":"/web","Config":{"Image":"nginx:1.25","Env":["PASSWORD=s"],"Labels":{"a":"b"}}}"#;
        let expected = Names { container: "web".into(), image: "nginx:1.25".into(), ..Names::default() };
        assert_eq!(names_in(plain), expected);
        let kubelet = br#"{"Name":"/k8s_mysql_db-0_shop_1_0","Config":{"Image":"sha256:1","Labels":{
            "io.kubernetes.pod.name":"db-0","io.kubernetes.pod.namespace":"shop","io.kubernetes.container.name":"mysql"}}}"#;
        let found = names_in(kubelet);
        assert_eq!((&*found.pod(), &*found.container, &*found.image), ("shop/db-0", "mysql", "sha256:1"));
        for nothing in [
            "",
            "[]",
            "{}",
            r#"{"Name":7,"Config":[]}"#,
            r#"{"Config":{"Labels":{"io.kubernetes.pod.name":1}}}"#,
        ] {
            assert!(names_in(nothing.as_bytes()).is_empty(), "{nothing}");
        }
    }

    proptest! {
        /// Check that no bytes make it panic.
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            names_in(&bytes);
        }
    }
}
