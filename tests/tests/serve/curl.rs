//! `curl`, and authorities that sign for `localhost`, made by `openssl`: what other programs make of the server.

use std::path::{Path, PathBuf};
use std::process::Command;

use aioinspect_tests::programs::run;
use aioinspect_tests::serving::Answer;

/// Asks as a program of another maker does; its message if it got no answer.
pub fn curl(args: &[&str]) -> Result<Answer, String> {
    let output = run(Command::new("curl")
        .args(["-q", "-sS", "-i", "--http1.1", "--noproxy", "*", "--max-time", "60"])
        .args(args));
    match Answer::parse(output.stdout.as_bytes()) {
        Some(answer) if output.code == 0 => Ok(answer),
        _ => Err(format!("curl ended with {}: {}", output.code, output.stderr)),
    }
}

/// Who signs certificates; its own is `ca.crt` in its directory.
#[derive(Debug)]
pub struct Authority {
    dir: PathBuf,
}

impl Authority {
    /// Makes one in a new directory.
    pub fn new(dir: &Path) -> Authority {
        std::fs::create_dir(dir).unwrap();
        let authority = Authority { dir: dir.to_owned() };
        authority.openssl(&format!("req -x509 {KEY} -days 2 -subj /CN=authority -keyout ca.key -out ca.crt"));
        authority
    }

    /// Path of one of its files.
    pub fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().to_owned()
    }

    /// Makes `NAME.key` and `NAME.crt`, good for localhost.
    pub fn sign(&self, name: &str) {
        std::fs::write(
            self.path("extensions"),
            "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n",
        )
        .unwrap();
        self.openssl(&format!("req {KEY} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out {name}.crt"
        ));
    }

    fn openssl(&self, line: &str) {
        let output = run(Command::new("openssl").args(line.split(' ')).current_dir(&self.dir));
        assert_eq!(output.code, 0, "openssl {line}: {output:?}");
    }
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
