//! The steps after which the box serves: records, control, and the user's services.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use tokio::net::UnixListener;

use super::{Stage, StepError, ids, ids_of};
use crate::boot::{control, listeners, secrets};
use crate::environment::SessionUsers;
use crate::files::{self, Desk};
use crate::plan::StepId;
use crate::session::directory::Directories;
use crate::session::tenants::{Separate, Tenants};
use crate::session::{self, KeeperSettings, Keepers};
use crate::steps::accounts::Accounts;
use crate::steps::child_env;

impl Stage<'_> {
    /// Has the records closed that are still open. Nothing waits for it but whoever looks at
    /// this step: sessions can be started meanwhile, and one that cannot be repaired costs
    /// nobody else anything.
    pub(super) fn close_journals(&self) -> Result<(), StepError> {
        let keepers = self.keepers()?;
        let _ = self.booted.keepers.set(keepers.clone());
        if keepers.has_records() {
            let progress = self.parts.progress.clone();
            tokio::task::spawn_local(async move {
                let began = std::time::Instant::now();
                progress.goes_on(StepId::Journals);
                keepers.repair().await;
                progress.done(StepId::Journals, began.elapsed());
            });
        }
        Ok(())
    }

    fn keepers(&self) -> Result<Keepers, StepError> {
        let users = self.users()?;
        let sync = self.settings().sessions.journal_sync.word();
        let environment = self.environment()?;
        let variables = |map: child_env::Variables| -> session::Variables {
            map.into_iter().map(|(k, v)| (k.into(), v.into())).collect()
        };
        let coder = ids_of(&users.coder);
        let tenants = match self.settings().sessions.users {
            SessionUsers::Separate if users.switch => Tenants::Separate(Separate {
                coder,
                data: self.survey.paths.data.clone(),
                passwd: "/etc/passwd".into(),
                helper: self.helper(),
            }),
            _ => Tenants::Shared(coder),
        };
        let settings = KeeperSettings {
            program: self.parts.bin.join("cib-session"),
            options: ["--sync", sync].map(OsString::from).into(),
            ids: ids(&users.keeper, users.switch),
            control: users.control.uid,
            tenants,
            environment: variables(environment.coder(&users.coder)),
            credentials: variables(environment.credentials()),
            plain: variables(environment.plain(&users.keeper)),
        };
        let directories = Directories {
            data: self.survey.paths.data.clone(),
            runtime: self.survey.paths.run.clone(),
            coder: users.coder.uid,
            keeper: users.keeper.uid,
            control: users.control.gid,
            switch: users.switch,
        };
        Ok(Keepers::new(
            settings,
            directories,
            self.parts.runtime.hierarchy.clone(),
            self.parts.processes.clone(),
        ))
    }

    pub(super) fn hold_port(&self) -> Result<Rc<OwnedFd>, StepError> {
        if let Some(held) = self.port.get() {
            return Ok(Rc::clone(held));
        }
        let settings = self.settings();
        let (port, everywhere) = (settings.port, settings.auth.serves_others());
        let held = listeners::port(port, everywhere).map_err(|source| StepError::Port {
            variable: "CIB_PORT",
            port,
            source,
        })?;
        Ok(Rc::clone(self.port.get_or_init(|| held)))
    }

    /// The port on which devices speak without HTTP, if there is to be one.
    pub(super) fn hold_tcp_port(&self) -> Result<Option<Rc<OwnedFd>>, StepError> {
        if let Some(held) = self.tcp_port.get() {
            return Ok(Some(Rc::clone(held)));
        }
        let settings = self.settings();
        let Some(port) = settings.tcp_port else {
            return Ok(None);
        };
        let everywhere = settings.auth.serves_others();
        let held = listeners::port(port, everywhere).map_err(|source| StepError::Port {
            variable: "CIB_TCP_PORT",
            port,
            source,
        })?;
        Ok(Some(Rc::clone(self.tcp_port.get_or_init(|| held))))
    }

    pub(super) async fn start_control(&self) -> Result<(), StepError> {
        let settings = self.settings();
        let run = &self.survey.paths.run;
        let auth = run.join("control/auth.json");
        let proxy = settings.trusted_proxy_secret.as_ref();
        let first = control::first_account(settings.admin.as_ref(), &self.survey.paths.data)
            .map_err(StepError::Auth)?;
        let secrets = secrets::values(settings);
        let channels = settings.channels.clone();
        let (mode, mqtt) = (&settings.auth, settings.mqtt.clone());
        control::write_auth(&auth, mode, proxy, first, &secrets, channels, mqtt)
            .map_err(StepError::Auth)?;
        control::write_forges(&auth.with_file_name(control::FORGES), &settings.forges)
            .map_err(StepError::Auth)?;
        let group = self.users()?.control.gid;
        let health = listeners::health(&run.join("control/health.sock"), group)
            .map_err(StepError::Health)?;
        let accounts =
            listeners::accounts(&run.join("control/accounts.sock")).map_err(StepError::Accounts)?;
        self.open_files()?;
        let service = control::service(&self.parts.bin, settings, run, &auth);
        let mut lent = vec![
            (control::LISTEN_FD, self.hold_port()?),
            (control::HEALTH_FD, health),
            (control::ACCOUNTS_FD, accounts),
        ];
        if control::publishes(settings) {
            let git = listeners::git(&run.join("git/git.sock")).map_err(StepError::Git)?;
            lent.push((control::GIT_FD, git));
        }
        lent.extend(self.hold_tcp_port()?.map(|held| (control::TCP_FD, held)));
        self.parts.supervisor.add_lending(service, lent);
        if self.parts.supervisor.start(control::NAME).await? {
            Ok(())
        } else {
            Err(StepError::NotReady(control::NAME.to_owned()))
        }
    }

    /// Opens the desk at which control asks for coder's files.
    fn open_files(&self) -> Result<(), StepError> {
        let users = self.users()?;
        let path = self.survey.paths.run.join("files/files.sock");
        let listener = listeners::files(&path, users.control.gid)
            .and_then(|listener| {
                listener.set_nonblocking(true)?;
                UnixListener::from_std(listener)
            })
            .map_err(StepError::Files)?;
        let environment = self.environment()?.plain(&users.coder);
        let desk = Desk {
            program: self.parts.bin.join("cib-files"),
            ids: ids(&users.coder, users.switch),
            environment: environment
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            roots: files::roots(&self.survey.paths.workspace, &users.coder.home),
            askers: vec![0, users.control.uid],
            processes: self.parts.processes.clone(),
        };
        tokio::task::spawn_local(desk.serve(listener));
        Ok(())
    }

    /// Starts what the user configured. All at once: each waits for those that it needs.
    pub(super) async fn start_services(&self) -> Result<(), StepError> {
        let environment = self.environment()?;
        let accounts = Accounts::read(&self.survey.paths).ok();
        let mut starts = Vec::new();
        for service in &self.survey.configuration.services {
            let mut service = service.clone();
            let account = accounts.as_ref().and_then(|a| a.user(&service.user));
            if let Some(account) = account {
                service.environment = environment.service(&service, &account);
            }
            let (name, essential) = (service.name.clone(), service.essential);
            self.parts.supervisor.add(service);
            let supervisor = self.parts.supervisor.clone();
            starts.push(tokio::task::spawn_local(async move {
                let ready = supervisor.start(&name).await;
                (name, essential, ready)
            }));
        }
        for start in starts {
            if let Ok((name, essential, ready)) = start.await
                && !ready?
                && essential
            {
                return Err(StepError::NotReady(name));
            }
        }
        Ok(())
    }
}
