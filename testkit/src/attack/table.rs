//! Every attack, by what it is about.

use super::{Aim, Outcome, exhaust, files, plant, processes, sockets};

/// One attack.
#[derive(Debug, Clone, Copy)]
pub struct Attack {
    /// Its name, also on the command line.
    pub name: &'static str,
    /// What it is about.
    pub kind: &'static str,
    /// Whether it keeps what it took until its standard input ends.
    pub holds: bool,
    /// Tries it.
    pub(super) attempt: fn(&Aim) -> Outcome,
}

const fn attack(kind: &'static str, name: &'static str, attempt: fn(&Aim) -> Outcome) -> Attack {
    Attack {
        name,
        kind,
        holds: false,
        attempt,
    }
}

const fn holding(name: &'static str, attempt: fn(&Aim) -> Outcome) -> Attack {
    Attack {
        name,
        kind: "exhaustion",
        holds: true,
        attempt,
    }
}

/// Attacks on the running box.
#[must_use]
pub fn attacks() -> &'static [Attack] {
    ATTACKS
}

/// Things to leave in the agent's own world.
#[must_use]
pub fn plants() -> &'static [Attack] {
    PLANTS
}

static ATTACKS: &[Attack] = &[
    attack("files", "write-files", files::write),
    attack("files", "append-to-files", files::append),
    attack("files", "truncate-files", files::truncate),
    attack("files", "remove-files", files::remove),
    attack("files", "move-files", files::move_away),
    attack("files", "replace-files", files::replace),
    attack("files", "change-modes", files::change_mode),
    attack("files", "change-owners", files::change_owner),
    attack("files", "change-times", files::change_times),
    attack("files", "make-files", files::make_file),
    attack("files", "read-private-files", files::read_private),
    attack("files", "search-files", files::search_files),
    attack("links", "hard-link-files", files::hard_link),
    attack("links", "make-links", files::make_link),
    attack("pipes", "make-pipes", files::make_pipe),
    attack("devices", "make-devices", files::make_device),
    attack("mounts", "mount-over", files::mount_over),
    attack("kernel", "kernel-settings", files::kernel_settings),
    attack("environment", "search-processes", files::search_processes),
    attack("signals", "stop-processes", processes::stop),
    attack("signals", "terminate-processes", processes::terminate),
    attack("signals", "kill-processes", processes::kill_all),
    attack("signals", "kill-groups", processes::kill_groups),
    attack("signals", "signal-a-child", processes::children_signal),
    attack("ptrace", "trace-processes", processes::trace),
    attack("ptrace", "seize-processes", processes::seize),
    attack("ptrace", "read-memory", processes::read_memory),
    attack("ptrace", "open-memory", processes::open_memory),
    attack("ptrace", "steal-descriptors", processes::steal_descriptors),
    attack("proc", "read-proc", processes::read_proc),
    attack("proc", "follow-proc", processes::follow_proc),
    attack("proc", "write-proc", processes::write_proc),
    attack("priorities", "slow-down", processes::slow_down),
    attack("priorities", "limit-processes", processes::limit),
    attack("priorities", "bind-to-cpu", processes::bind_to_cpu),
    attack("rights", "become-others", processes::become_others),
    attack("rights", "raise-rights", processes::raise),
    attack("rights", "have-capabilities", processes::capabilities),
    attack("sockets", "order-init", sockets::order_init),
    attack("sockets", "search-init", sockets::search_init),
    attack("sockets", "garble-init", sockets::garble_init),
    attack("sockets", "order-keeper", sockets::order_keeper),
    attack("sockets", "reach-control", sockets::control_socket),
    attack("ports", "take-ports", sockets::take_ports),
    attack("ports", "garble-ports", sockets::garble_ports),
    attack("ports", "listen-on-an-own-port", sockets::own_port),
    attack("api", "use-the-api", sockets::api),
    attack("api", "guess-tokens", sockets::guess_tokens),
    holding("take-processes", exhaust::processes),
    holding("take-memory", exhaust::memory),
    holding("take-connections", exhaust::connections),
    holding("half-requests", exhaust::half_requests),
    holding("take-seats-of-init", exhaust::seats_of_init),
    holding("ask-init-for-status", exhaust::status_of_init),
    holding("take-places-of-redsocks", exhaust::ports_of_redsocks),
    holding("take-inotify", exhaust::inotify),
    holding("take-terminals", exhaust::terminals),
    holding("take-descriptors", exhaust::descriptors),
    holding("take-files", exhaust::files),
    holding("take-locks", exhaust::locks),
];

static PLANTS: &[Attack] = &[
    attack("pipes", "pipes-in-place", plant::pipes),
    attack("holes", "holes-in-place", plant::holes),
    attack("links", "links-in-place", plant::links),
    attack("links", "link-loops-in-place", plant::link_loops),
    attack("links", "links-to-the-box", plant::links_to_the_box),
    attack("folders", "folders-in-place", plant::folders),
    attack("sockets", "sockets-in-place", plant::sockets),
    attack("json", "deep-json-in-place", plant::deep_json),
    attack("json", "odd-json-in-place", plant::odd_json),
    attack("escapes", "escapes-in-place", plant::escapes),
    attack("names", "odd-names", plant::names),
    attack("names", "deep-folders", plant::deep_folders),
    attack("processes", "deaf-daemon", plant::daemon),
];
