//! Passwords, looked at one at a time and off the thread that serves: each takes 19 MiB and a
//! part of a second, which nobody may make the box spend as often as they like.

use std::sync::Arc;

use cib_base::password;
use tokio::sync::{OnceCell, Semaphore};

use crate::fault::Fault;
use crate::work;

/// The one place where passwords are hashed.
#[derive(Debug)]
pub struct Passwords {
    turn: Arc<Semaphore>,
    /// The hash of nothing that anybody knows: whoever has no account is compared with it.
    nobody: OnceCell<String>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            turn: Arc::new(Semaphore::new(1)),
            nobody: OnceCell::new(),
        }
    }
}

impl Passwords {
    /// Whether a password is the one with this hash. Without a hash it is not, and that takes as
    /// long to say.
    ///
    /// # Errors
    /// [`Code::Busy`](crate::fault::Code::Busy) if its turn does not come in time.
    pub async fn matches(&self, hash: Option<String>, password: &str) -> Result<bool, Fault> {
        // Made by whoever comes first, so that its making tells nothing of anybody.
        let nobody = self.nobody().await?;
        let is_somebody = hash.is_some();
        let hash = hash.unwrap_or(nobody);
        let password = password.to_owned();
        let matches = self.take_turn(move || Ok(password::matches(&hash, &password)));
        Ok(matches.await? && is_somebody)
    }

    /// The hash of a password.
    ///
    /// # Errors
    /// As [`Passwords::matches`], or [`Code::Internal`](crate::fault::Code::Internal).
    pub async fn hash(&self, password: &str) -> Result<String, Fault> {
        let password = password.to_owned();
        self.take_turn(move || password::hash(&password)).await
    }

    async fn nobody(&self) -> Result<String, Fault> {
        let make = || async {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map_err(Fault::internal)?;
            self.hash(&cib_base::hex::encode(&bytes)).await
        };
        self.nobody.get_or_try_init(make).await.cloned()
    }

    async fn take_turn<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, password::HashError> + Send + 'static,
    ) -> Result<T, Fault> {
        let done = async {
            let turn = Arc::clone(&self.turn).acquire_owned().await;
            let turn = turn.map_err(Fault::internal)?;
            // Kept by the work itself: who asked may be gone before it is done.
            work::run(move || {
                let _turn = turn;
                job()
            })
            .await
        };
        work::in_time(done).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_has_no_account_is_refused_after_the_same_work() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse").await.unwrap();
        assert!(
            passwords
                .matches(Some(hash.clone()), "correct horse")
                .await
                .unwrap()
        );
        assert!(!passwords.matches(Some(hash), "wrong horse").await.unwrap());
        assert!(!passwords.matches(None, "correct horse").await.unwrap());
        let nobody = passwords.nobody.get().unwrap();
        assert!(password::is_current(nobody), "{nobody}");
    }
}
