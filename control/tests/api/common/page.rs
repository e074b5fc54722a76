//! A page that is signed in: a cookie as the browser keeps it, and a proof as the page does.

use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::world::Server;

/// Both halves of a sign-in.
#[derive(Clone, Debug)]
pub struct Page {
    /// `name=value`.
    pub cookie: String,
    pub proof: String,
}

impl Page {
    /// What a sign-in was answered with.
    pub fn of(answer: &Answer) -> Self {
        Self {
            cookie: cookie_of(answer).expect("a sign-in sets a cookie"),
            proof: answer.ok()["proof"].as_str().unwrap().to_owned(),
        }
    }

    pub async fn by_token(server: &Server, token: &str) -> Self {
        let body = json!({"token": token});
        Self::of(&server.stranger().post("/api/auth/login", &body).await)
    }

    pub async fn by_password(server: &Server, name: &str, password: &str) -> Self {
        Self::of(&sign_in(server, name, password).await)
    }

    /// Whoever sends both halves.
    pub fn client(&self, server: &Server) -> Client {
        self.dress(server.stranger())
    }

    /// The same, of a client that says more.
    pub fn dress(&self, client: Client) -> Client {
        client
            .with_header("cookie", &self.cookie)
            .with_header("x-cib-proof", &self.proof)
    }

    /// Whoever opens sockets as a page of an origin does.
    pub fn socket(&self, server: &Server, origin: &str) -> Client {
        let protocols = format!("json, proof.{}", self.proof);
        server
            .stranger()
            .with_header("cookie", &self.cookie)
            .with_header("sec-websocket-protocol", &protocols)
            .with_header("origin", origin)
    }
}

/// The pair of the cookie that an answer sets.
pub fn cookie_of(answer: &Answer) -> Option<String> {
    let set = answer.headers.get("set-cookie")?.to_str().unwrap();
    Some(set.split(';').next().unwrap().to_owned())
}

pub async fn sign_in(server: &Server, name: &str, password: &str) -> Answer {
    let body = json!({"username": name, "password": password});
    server.stranger().post("/api/auth/login", &body).await
}

/// Makes an account, by the master.
pub async fn account(server: &Server, name: &str, password: &str, scopes: &[&str]) -> Value {
    let body = json!({"name": name, "password": password, "scopes": scopes});
    let answer = server.client().post("/api/auth/accounts", &body).await;
    answer.created()
}
