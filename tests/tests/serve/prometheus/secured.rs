//! TLS and passwords, by the files that docs/fleet.md shows.

use std::fs;
use std::path::Path;
use std::process::Command;

use aioinspect_tests::programs::run;
use aioinspect_tests::serving::Serving;

use super::driver::Prometheus;
use super::shipped::text_of;

/// The block of YAML in docs/fleet.md that has this in it, with these names of directories.
fn documented(mark: &str, dir: &Path) -> String {
    let text = text_of("docs/fleet.md");
    let mut blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block =
        blocks.find(|block| block.contains(mark)).unwrap_or_else(|| panic!("docs/fleet.md: no {mark}"));
    block.replace("/etc/", &format!("{}/", dir.display()))
}

/// Check that Prometheus scrapes over TLS with a password, both sides configured as documented, and that a scrape without the password fails.
#[test]
fn tls_and_password() {
    let home = tempfile::Builder::new().prefix("aioinspect-test-").tempdir().unwrap();
    let (ours, theirs) = (home.path().join("aioinspect"), home.path().join("prometheus"));
    for dir in [&ours, &theirs.join("aioinspect")] {
        fs::create_dir_all(dir).unwrap();
    }
    let (key, certificate) = (ours.join("tls.key"), ours.join("tls.crt"));
    let made = run(Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=aioinspect test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate));
    assert_eq!(made.code, 0, "{made:?}");
    fs::copy(&certificate, theirs.join("aioinspect-ca.crt")).unwrap();
    fs::write(theirs.join("aioinspect.password"), "a pass: phrase").unwrap();

    let hash = bcrypt::hash("a pass: phrase", 4).unwrap();
    let web = documented("tls_server_config", home.path());
    let mark = web.split_once("prometheus: ").and_then(|(_, rest)| rest.lines().next()).unwrap();
    let file = ours.join("web.yml");
    fs::write(&file, web.replace(mark, &hash)).unwrap();
    let serving = Serving::start(&["--web-config", file.to_str().unwrap()]).unwrap();

    let targets = format!("- targets: ['{}']\n", serving.tcp());
    fs::write(theirs.join("aioinspect/all.yml"), &targets).unwrap();
    let ca = theirs.join("aioinspect-ca.crt");
    let stranger = format!(
        "  - {{job_name: stranger, scheme: https, tls_config: {{ca_file: {}}}, static_configs: [{{targets: ['{}']}}]}}\n",
        ca.display(),
        serving.tcp()
    );
    let config =
        documented("scheme: https", home.path()).replace("scrape_interval: 30s", "scrape_interval: 1s");
    let prometheus = Prometheus::start(&(config + &stranger), &[]);
    prometheus.await_value("up{job=\"aioinspect\"}", 1);
    prometheus.await_some("aio_system_limit_events{job=\"aioinspect\"} > 0");
    prometheus.await_value("up{job=\"stranger\"}", 0);
    let targets = prometheus.ask("/api/v1/targets?state=active");
    let active = targets["activeTargets"].as_array().unwrap();
    let refused = active.iter().find(|target| target["labels"]["job"] == "stranger").unwrap();
    assert_eq!(refused["lastError"], "server returned HTTP status 401 Unauthorized");
    assert_eq!(serving.end().code, Some(0));
}
