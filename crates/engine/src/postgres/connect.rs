//! Settings of a target → a connection.

use std::net::IpAddr;
use std::time::Duration;

use postgres::{Client, Config, NoTls, config};

use super::fault::Fault;
use super::tls::{self, Ssl, SslMode};

/// Name of our connections in `pg_stat_activity`.
const APPLICATION: &str = "clicktrail";

/// How long bytes may wait for the other side's receipt: a server that vanished is noticed after it.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// Where to, and as whom. Not `Debug`: it holds a password.
#[derive(Clone)]
pub struct Settings {
    /// Name or address of a machine, or the folder of a Unix socket.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Who signs in.
    pub user: String,
    /// With what.
    pub password: Option<String>,
    /// Database.
    pub database: String,
    /// Schema of the tables.
    pub schema: String,
    /// Role that is taken after signing in.
    pub role: Option<String>,
    /// How the connection is secured.
    pub ssl: Ssl,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// Silence after which the other side is asked whether it is there.
    pub keepalives_idle: Duration,
}

impl Settings {
    /// Signs in.
    ///
    /// # Errors
    /// No server, no such user or database, a server that is not trusted.
    pub(super) fn connect(&self) -> Result<Client, Fault> {
        let mut config = Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .user(&self.user)
            .dbname(&self.database)
            .application_name(APPLICATION)
            .connect_timeout(self.connect_timeout)
            .tcp_user_timeout(SILENCE_MAX)
            .keepalives_idle(self.keepalives_idle)
            .ssl_mode(self.ssl_mode());
        if let Some(password) = &self.password {
            config.password(password);
        }
        let mut client = match self.ssl_mode() {
            config::SslMode::Disable => config.connect(NoTls)?,
            _ => config.connect(tls::connector(&self.ssl)?)?,
        };
        if let Some(role) = &self.role {
            client.batch_execute(&format!("set role {}", super::replace::quoted(role)))?;
        }
        Ok(client)
    }

    /// Rows leave this machine unencrypted only where the target says so.
    fn ssl_mode(&self) -> config::SslMode {
        match self.ssl.mode {
            _ if self.host.starts_with('/') => config::SslMode::Disable,
            SslMode::Disable => config::SslMode::Disable,
            SslMode::Prefer if is_here(&self.host) => config::SslMode::Prefer,
            _ => config::SslMode::Require,
        }
    }
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(host: &str, mode: SslMode) -> config::SslMode {
        let settings = Settings {
            host: host.into(),
            port: 5432,
            user: "u".into(),
            password: None,
            database: "d".into(),
            schema: "s".into(),
            role: None,
            ssl: Ssl { mode, root: None, own: None },
            connect_timeout: Duration::from_secs(1),
            keepalives_idle: Duration::from_secs(1),
        };
        settings.ssl_mode()
    }

    #[test]
    fn rows_leave_this_machine_unencrypted_only_when_told() {
        use config::SslMode::{Disable, Prefer, Require};
        assert_eq!(mode("db.example.com", SslMode::Prefer), Require);
        assert_eq!(mode("10.0.0.7", SslMode::Prefer), Require);
        assert_eq!(mode("localhost.example.com", SslMode::Prefer), Require);
        assert_eq!(mode("db.example.com", SslMode::Disable), Disable);
        assert_eq!(mode("localhost", SslMode::Prefer), Prefer);
        assert_eq!(mode("127.0.0.2", SslMode::Prefer), Prefer);
        assert_eq!(mode("::1", SslMode::VerifyFull), Require);
        assert_eq!(mode("/run/postgresql", SslMode::VerifyFull), Disable);
    }
}
