//! Who may ask: HTTP's basic authentication against bcrypt hashes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::web_config::PasswordHash;

/// How many verified pairs of name and password are remembered.
const REMEMBERED: usize = 64;
/// Longer headers are nobody's password.
const MAX_HEADER: usize = 4096;

/// A hash has the right form, but is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("user {name:?}: not a usable bcrypt hash")]
pub struct UsersError {
    /// Name of the user whose hash is too dear or wrong.
    pub name: String,
}

/// The users of a web config file.
pub struct Users {
    hashes: BTreeMap<String, PasswordHash>,
    /// Compared with for names that do not exist: the answer takes as long. Nobody knows a password for it.
    nobody: String,
    salt: [u8; 32],
    verified: Mutex<VecDeque<[u8; 32]>>,
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users").field("names", &self.hashes.keys()).finish_non_exhaustive()
    }
}

impl Users {
    /// Takes the users of a file.
    pub fn new(hashes: BTreeMap<String, PasswordHash>) -> Result<Self, UsersError> {
        for (name, hash) in &hashes {
            if hash.expose().parse::<bcrypt::HashParts>().is_err() {
                return Err(UsersError { name: name.clone() });
            }
        }
        // As much work as the dearest of them.
        let cost = hashes.values().map(PasswordHash::cost).max().unwrap_or(bcrypt::DEFAULT_COST);
        let nobody = format!("$2b${cost:02}$abcdefghijklmnopqrstuu{}", "5s2v8.iXieOjg/.AySBTTZIIVFJeBui");
        let mut salt = [0; 32];
        let random = rustls::crypto::ring::default_provider().secure_random;
        // Without randomness there is nothing to remember passwords by: then none is.
        let remembers = random.fill(&mut salt).is_ok();
        let verified = VecDeque::with_capacity(if remembers { REMEMBERED } else { 0 });
        Ok(Self { hashes, nobody, salt, verified: Mutex::new(verified) })
    }

    /// Whether this value of an Authorization header is that of a user.
    ///
    /// Blocks: a comparison costs some 50 ms of a CPU at bcrypt's cost 10, twice as much for each step above; call it where that is
    /// allowed (`spawn_blocking`), few at a time, after [`Users::remembers`] said no. A pair that was right once is remembered.
    pub fn check(&self, authorization: Option<&str>) -> bool {
        let Some((name, password)) = authorization.and_then(credentials) else { return false };
        let digest = self.digest(&name, &password);
        if self.is_verified(&digest) {
            return true;
        }
        let hash = self.hashes.get(&name);
        let against = hash.map_or(self.nobody.as_str(), PasswordHash::expose);
        let same = bcrypt::verify(&password, against).unwrap_or(false);
        let good = same && hash.is_some();
        if good {
            let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
            let room = verified.capacity().min(REMEMBERED);
            if room > 0 && !verified.contains(&digest) {
                if verified.len() >= room {
                    verified.pop_front();
                }
                verified.push_back(digest);
            }
        }
        good
    }

    /// Whether [`Users::check`] would say yes at once, without blocking.
    pub fn remembers(&self, authorization: Option<&str>) -> bool {
        let Some((name, password)) = authorization.and_then(credentials) else { return false };
        self.is_verified(&self.digest(&name, &password))
    }

    fn is_verified(&self, digest: &[u8; 32]) -> bool {
        // The salt is not known outside: how long a comparison of digests takes says nothing of a password.
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }

    fn digest(&self, name: &str, password: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.salt);
        // A name holds no colon, so no two pairs are the same text.
        digest.update(name);
        digest.update(":");
        digest.update(password);
        digest.finalize().into()
    }
}

/// Name and password of `Basic base64(name:password)`, RFC 7617.
fn credentials(header: &str) -> Option<(String, String)> {
    if header.len() > MAX_HEADER {
        return None;
    }
    let (scheme, rest) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (name, password) = pair.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::web_config::WebConfig;

    fn users(names: &[(&str, &str)]) -> Result<Users, UsersError> {
        let lines = names
            .iter()
            .map(|(name, password)| format!("  {name}: {}", bcrypt::hash(password, 5).unwrap()))
            .collect::<Vec<_>>()
            .join("\n");
        let text = format!("basic_auth_users:\n{lines}\n");
        Users::new(WebConfig::parse(&text, Path::new("/")).unwrap().users)
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    /// Check that the right pair is let in, and every other turned away, cached or not.
    #[test]
    fn only_the_right_pair() {
        let users = users(&[("alice", "se:cret"), ("bob", "")]).unwrap();
        for _ in 0..2 {
            assert!(users.check(Some(&basic("alice:se:cret"))));
            assert!(users.check(Some(&basic("bob:"))));
            for wrong in ["alice:se:cre", "alice:", "bob:se:cret", "eve:se:cret", ":se:cret", "alice", ""] {
                assert!(!users.check(Some(&basic(wrong))), "{wrong}");
            }
        }
        assert!(users.check(Some(&basic("alice:se:cret").replacen("Basic", "bASIC", 1))));
        let long = format!("Basic {}", "A".repeat(5000));
        for wrong in ["", "Basic", "Basic ", "Basic !", "Bearer x", "Basic /////w==", long.as_str()] {
            assert!(!users.check(Some(wrong)), "{wrong}");
        }
        assert!(!users.check(None) && !users.remembers(None));
    }

    /// Check that a pair that was right needs no second comparison, and that the memory is bounded.
    #[test]
    fn right_pairs_are_remembered() {
        let many: Vec<String> = (0..REMEMBERED + 2).map(|n| format!("u{n}")).collect();
        let pairs: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "x")).collect();
        let users = users(&pairs).unwrap();
        let header = |name: &str| basic(&format!("{name}:x"));
        assert!(!users.remembers(Some(&header("u0"))));
        for name in &many {
            assert!(users.check(Some(&header(name))));
            assert!(users.remembers(Some(&header(name))));
        }
        assert!(!users.remembers(Some(&header("u0"))) && !users.remembers(Some(&basic("u9:y"))));
        assert_eq!(users.verified.lock().unwrap().len(), REMEMBERED);
    }

    /// Check that an unknown name costs as much work as a wrong password.
    #[test]
    fn unknown_names_take_as_long() {
        let users = users(&[("alice", "secret")]).unwrap();
        assert!(users.nobody.parse::<bcrypt::HashParts>().is_ok());
        let time = |pair: &str| {
            let begun = Instant::now();
            assert!(!users.check(Some(&basic(pair))));
            begun.elapsed()
        };
        let least = |pair: &str| (0..5).map(|_| time(pair)).min().unwrap();
        let (known, unknown) = (least("alice:x"), least("eve:x"));
        // Far apart from the microseconds that a mere look at the names takes.
        assert!(unknown > known / 4 && unknown > Duration::from_micros(200), "{known:?} {unknown:?}");
    }

    /// Check that a hash whose unused bits are set is refused at the start, not at every request, and not shown.
    #[test]
    fn strange_hashes_are_refused() {
        let text = format!("basic_auth_users:\n  a: $2y$10${}\n", "z".repeat(53));
        let hashes = WebConfig::parse(&text, Path::new("/")).unwrap().users;
        let says = Users::new(hashes).unwrap_err().to_string();
        assert!(says.contains("\"a\"") && !says.contains("zz"), "{says}");
    }
}
