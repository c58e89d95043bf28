//! The names in a container's OCI bundle (`config.json` of the OCI runtime specification).

use serde::Deserialize;
use std::collections::BTreeMap;

use aioinspect_model::container_names::{Names, names};

/// The one part of a bundle's configuration that is of interest. An annotation that is no text says nothing.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    annotations: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    hostname: String,
}

/// Reads the names; none from what is not such a file.
pub fn names_in(config: &[u8]) -> Names {
    let Ok(config) = serde_json::from_slice::<Config>(config) else { return Names::default() };
    let text = |key: &str| config.annotations.get(key)?.as_str().map(str::to_owned);
    let mut names = names(text);
    // Podman and Docker tell no more of a container than the name of its host, which is its id unless somebody chose it.
    let is_id = config.hostname.len() == 12 && config.hostname.bytes().all(|byte| byte.is_ascii_hexdigit());
    if names.is_empty() && !is_id {
        names.container = config.hostname;
    }
    names
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Check bundles as containerd and Podman write them, and others that say nothing.
    #[test]
    fn bundles() {
        let kubernetes = br#"{"ociVersion":"1.1","hostname":"db-0","annotations":{
            "io.kubernetes.cri.sandbox-name":"db-0","io.kubernetes.cri.sandbox-namespace":"shop",
            "io.kubernetes.cri.container-name":"mysql","io.kubernetes.cri.image-name":"mysql:8","x":1}}"#;
        let expected = Names {
            pod: "db-0".into(),
            namespace: "shop".into(),
            container: "mysql".into(),
            image: "mysql:8".into(),
        };
        assert_eq!(names_in(kubernetes), expected);
        assert_eq!(names_in(br#"{"hostname":"web"}"#).container, "web");
        for nothing in ["", "[]", "{}", r#"{"hostname":"0a1b2c3d4e5f"}"#, r#"{"annotations":7}"#] {
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
