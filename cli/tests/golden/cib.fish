# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_cib_global_optspecs
    string join \n json q/quiet no-input engine= c/config= C= h/help V/version
end

function __fish_cib_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_cib_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_cib_using_subcommand
    set -l cmd (__fish_cib_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c cib -n "__fish_cib_needs_command" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_needs_command" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_needs_command" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_needs_command" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_needs_command" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_needs_command" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cib -n "__fish_cib_needs_command" -s V -l version -d 'Print version'
complete -c cib -n "__fish_cib_needs_command" -f -a "start" -d 'Start a box with a copy of this repository, and Claude in it'
complete -c cib -n "__fish_cib_needs_command" -f -a "list" -d 'List boxes'
complete -c cib -n "__fish_cib_needs_command" -f -a "ls" -d 'List boxes'
complete -c cib -n "__fish_cib_needs_command" -f -a "attach" -d 'Attach this terminal to a session'
complete -c cib -n "__fish_cib_needs_command" -f -a "open" -d 'Open a box\'s page in the browser'
complete -c cib -n "__fish_cib_needs_command" -f -a "port" -d 'Reach a port of a box from this machine, until Ctrl-C'
complete -c cib -n "__fish_cib_needs_command" -f -a "stop" -d 'Stop boxes in order; what is in them stays'
complete -c cib -n "__fish_cib_needs_command" -f -a "logs" -d 'Show what a box says'
complete -c cib -n "__fish_cib_needs_command" -f -a "rm" -d 'Remove a box, unless it has commits that are nowhere else'
complete -c cib -n "__fish_cib_needs_command" -f -a "clean" -d 'Remove boxes that do not run, unless they have commits that are nowhere else'
complete -c cib -n "__fish_cib_needs_command" -f -a "fetch" -d 'Bring over what a box has committed, as refs of this repository'
complete -c cib -n "__fish_cib_needs_command" -f -a "diff" -d 'Show what a box has done'
complete -c cib -n "__fish_cib_needs_command" -f -a "apply" -d 'Make a branch of what a box has committed'
complete -c cib -n "__fish_cib_needs_command" -f -a "pull" -d 'Make a branch of what a box has committed'
complete -c cib -n "__fish_cib_needs_command" -f -a "push" -d 'Push a box\'s branch from this machine'
complete -c cib -n "__fish_cib_needs_command" -f -a "pr" -d 'Push a box\'s branch and open a pull request'
complete -c cib -n "__fish_cib_needs_command" -f -a "watch" -d 'Tell of each commit in a box as it is made'
complete -c cib -n "__fish_cib_needs_command" -f -a "exec" -d 'Run a command in a box, with the restrictions of the agent'
complete -c cib -n "__fish_cib_needs_command" -f -a "shell" -d 'A shell in a box, with the restrictions of the agent'
complete -c cib -n "__fish_cib_needs_command" -f -a "cp" -d 'Copy files to a box or from it: SOURCE and TARGET are paths or BOX:PATH'
complete -c cib -n "__fish_cib_needs_command" -f -a "send" -d 'Say something to Claude in a box'
complete -c cib -n "__fish_cib_needs_command" -f -a "ask" -d 'Say something to Claude in a box, and wait for the answer'
complete -c cib -n "__fish_cib_needs_command" -f -a "status" -d 'Show a box: its sessions, what they do and ask, its credential'
complete -c cib -n "__fish_cib_needs_command" -f -a "login" -d 'Log Claude in, in a box'
complete -c cib -n "__fish_cib_needs_command" -f -a "tokens" -d 'Tokens of a box for other devices'
complete -c cib -n "__fish_cib_needs_command" -f -a "task" -d 'Send tasks to a box, to Kubernetes or to a Swarm, and follow them'
complete -c cib -n "__fish_cib_needs_command" -f -a "offload" -d 'Have plans that are approved in Claude on this machine carried out in boxes'
complete -c cib -n "__fish_cib_needs_command" -f -a "runner" -d 'A box of this repository that stays, with a shell to work in'
complete -c cib -n "__fish_cib_needs_command" -f -a "self-update" -d 'Replace this program by a newer one that is signed'
complete -c cib -n "__fish_cib_needs_command" -f -a "update" -d 'Replace this program by a newer one that is signed'
complete -c cib -n "__fish_cib_needs_command" -f -a "config" -d 'Show the configuration, and where each value stands'
complete -c cib -n "__fish_cib_needs_command" -f -a "doctor" -d 'Look at everything that boxes need, and say what helps'
complete -c cib -n "__fish_cib_needs_command" -f -a "completion" -d 'Print what completes this command line in a shell'
complete -c cib -n "__fish_cib_needs_command" -f -a "man" -d 'Print the manual page, or that of a command'
complete -c cib -n "__fish_cib_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c cib -n "__fish_cib_using_subcommand start" -s n -l name -d 'The box\'s name [default: PREFIX-TIME]; called as claude-run, what its name begins with' -r
complete -c cib -n "__fish_cib_using_subcommand start" -s b -l branch -d 'The branch in the box: a new one, or one of this repository [default: claude/TIME]' -r
complete -c cib -n "__fish_cib_using_subcommand start" -l remote-branch -d 'Begin at this branch of the remote' -r
complete -c cib -n "__fish_cib_using_subcommand start" -l pr -d 'Begin at this pull request of the remote' -r
complete -c cib -n "__fish_cib_using_subcommand start" -l image -d 'The image' -r
complete -c cib -n "__fish_cib_using_subcommand start" -l dockerfile -d 'Build the image from this file' -r
complete -c cib -n "__fish_cib_using_subcommand start" -l proxy-file -d 'File with the proxy\'s URL; then nothing leaves but through it' -r
complete -c cib -n "__fish_cib_using_subcommand start" -l proxy -d 'The proxy\'s URL itself, if it has no password: that belongs into a file' -r
complete -c cib -n "__fish_cib_using_subcommand start" -l driver -d 'stream or tty [default: stream with a page, tty for this terminal]' -r
complete -c cib -n "__fish_cib_using_subcommand start" -l model -d 'Model of the first session' -r
complete -c cib -n "__fish_cib_using_subcommand start" -l memory -d 'Memory that the box may use, as 4g' -r
complete -c cib -n "__fish_cib_using_subcommand start" -l cpus -d 'Processors that the box may use, as 1.5' -r
complete -c cib -n "__fish_cib_using_subcommand start" -l pids -d 'Processes that the box may have' -r
complete -c cib -n "__fish_cib_using_subcommand start" -s e -l env -d 'A variable for Claude; NAME alone takes the value that it has here' -r
complete -c cib -n "__fish_cib_using_subcommand start" -l env-file -d 'File of variables for Claude' -r
complete -c cib -n "__fish_cib_using_subcommand start" -l mount -d 'A mount, SOURCE:TARGET[:ro]' -r
complete -c cib -n "__fish_cib_using_subcommand start" -l credential -d 'Which credential of Claude\'s goes in: auto, none, key, subscription, bedrock or vertex [default: the one that Claude would use here]' -r
complete -c cib -n "__fish_cib_using_subcommand start" -l with -d 'What of this machine goes in as well: ssh-agent, ssh-keys, gpg-agent, gpg-keys, and github, with which the box opens pull requests and Claude does not' -r -f -a "ssh-agent\t''
ssh-keys\t''
gpg-agent\t''
gpg-keys\t''
gpg\t''
github\t''"
complete -c cib -n "__fish_cib_using_subcommand start" -l again -d 'Start a box that was stopped once more' -r
complete -c cib -n "__fish_cib_using_subcommand start" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand start" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand start" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand start" -l hardened -d 'Another container holds the proxy and its rules, so that not even root in the box changes them; so it is with a proxy, unless the configuration says otherwise'
complete -c cib -n "__fish_cib_using_subcommand start" -l single -d 'One container, which holds its proxy itself'
complete -c cib -n "__fish_cib_using_subcommand start" -l allow-unsafe-mount -d 'Let a mount be what would give the box this machine'
complete -c cib -n "__fish_cib_using_subcommand start" -l include-untracked -d 'Files that git does not know come along'
complete -c cib -n "__fish_cib_using_subcommand start" -l no-include-untracked -d 'They do not'
complete -c cib -n "__fish_cib_using_subcommand start" -l include-large -d 'Also if they have more than 50 MB'
complete -c cib -n "__fish_cib_using_subcommand start" -l dry-run -d 'Say what would go in, and make nothing'
complete -c cib -n "__fish_cib_using_subcommand start" -l without-credential -d 'Start without a credential of Claude\'s; `cib login` gives one later'
complete -c cib -n "__fish_cib_using_subcommand start" -l web -d 'Open the browser, although the configuration says `detached`'
complete -c cib -n "__fish_cib_using_subcommand start" -l no-web -d 'Print the address and open no browser; attach this terminal instead'
complete -c cib -n "__fish_cib_using_subcommand start" -s d -l detach -l no-attach -d 'Neither browser nor terminal'
complete -c cib -n "__fish_cib_using_subcommand start" -l shell -d 'A shell instead of a session'
complete -c cib -n "__fish_cib_using_subcommand start" -l no-push -d 'Nothing that is committed is pushed by `cib watch`, whatever the configuration says'
complete -c cib -n "__fish_cib_using_subcommand start" -l no-pr -l no-create-pr -d 'Nor made a pull request'
complete -c cib -n "__fish_cib_using_subcommand start" -l no-keys -d 'Neither agents nor keys of this machine go in, whatever the configuration says'
complete -c cib -n "__fish_cib_using_subcommand start" -l no-claude-settings -d 'Your CLAUDE.md, agents, commands, skills and settings of Claude\'s stay here'
complete -c cib -n "__fish_cib_using_subcommand start" -l skip-reconnect-check -d 'Do not tell of boxes of this repository that run'
complete -c cib -n "__fish_cib_using_subcommand start" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand start" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand start" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand start" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand list" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand list" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand list" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand list" -s a -l all -d 'Those that do not run, too'
complete -c cib -n "__fish_cib_using_subcommand list" -l names -d 'Names alone, as `--quiet` has it'
complete -c cib -n "__fish_cib_using_subcommand list" -l all-repos -d 'Those of other repositories, too'
complete -c cib -n "__fish_cib_using_subcommand list" -l schema -d 'The JSON schema of what --json prints'
complete -c cib -n "__fish_cib_using_subcommand list" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand list" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand list" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand list" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand ls" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand ls" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand ls" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand ls" -s a -l all -d 'Those that do not run, too'
complete -c cib -n "__fish_cib_using_subcommand ls" -l names -d 'Names alone, as `--quiet` has it'
complete -c cib -n "__fish_cib_using_subcommand ls" -l all-repos -d 'Those of other repositories, too'
complete -c cib -n "__fish_cib_using_subcommand ls" -l schema -d 'The JSON schema of what --json prints'
complete -c cib -n "__fish_cib_using_subcommand ls" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand ls" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand ls" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand ls" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand attach" -l session -d 'A session\'s id, or a beginning of it [default: the newest that lives]' -r
complete -c cib -n "__fish_cib_using_subcommand attach" -l driver -d '`tty`: make a terminal of a session that has none' -r -f -a "tty\t''"
complete -c cib -n "__fish_cib_using_subcommand attach" -l detach-keys -d 'What leaves the session as it is [CIB_DETACH_KEYS] [default: ctrl-]]' -r
complete -c cib -n "__fish_cib_using_subcommand attach" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand attach" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand attach" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand attach" -l read-only -d 'Type nothing'
complete -c cib -n "__fish_cib_using_subcommand attach" -l no-web -d 'Called as claude-run, this terminal instead of the browser; else it is always this terminal'
complete -c cib -n "__fish_cib_using_subcommand attach" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand attach" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand attach" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand attach" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand open" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand open" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand open" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand open" -l print -d 'Print the address instead'
complete -c cib -n "__fish_cib_using_subcommand open" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand open" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand open" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand open" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand port" -l inside -d 'The port in the box [default: that of its page and API]' -r
complete -c cib -n "__fish_cib_using_subcommand port" -l here -d 'The port here, on the loopback address [default: one that is free]' -r
complete -c cib -n "__fish_cib_using_subcommand port" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand port" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand port" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand port" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand port" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand port" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand port" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand stop" -s t -l time -d 'Seconds until what has not ended is killed' -r
complete -c cib -n "__fish_cib_using_subcommand stop" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand stop" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand stop" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand stop" -l all -d 'All boxes that run, of every repository'
complete -c cib -n "__fish_cib_using_subcommand stop" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand stop" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand stop" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand stop" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand logs" -s n -l tail -d 'How many of the last lines' -r
complete -c cib -n "__fish_cib_using_subcommand logs" -l since -d 'Those since a time, or since so long ago, as 10m' -r
complete -c cib -n "__fish_cib_using_subcommand logs" -l session -d 'What was said in a session instead, by its id or a beginning of it; `last` is the newest' -r
complete -c cib -n "__fish_cib_using_subcommand logs" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand logs" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand logs" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand logs" -s f -l follow -d 'Go on until the box ends'
complete -c cib -n "__fish_cib_using_subcommand logs" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand logs" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand logs" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand logs" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand rm" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand rm" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand rm" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand rm" -s f -l force -d 'Also if it runs, and whatever is lost with it'
complete -c cib -n "__fish_cib_using_subcommand rm" -l keep-volumes -d 'Keep its volumes'
complete -c cib -n "__fish_cib_using_subcommand rm" -l volumes -d 'Its volumes go as well, which is so unless they are kept'
complete -c cib -n "__fish_cib_using_subcommand rm" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand rm" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand rm" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand rm" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand clean" -l older -d 'Those alone that were made so long ago, or before: 7d, 12h, 2w; a number alone is days' -r
complete -c cib -n "__fish_cib_using_subcommand clean" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand clean" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand clean" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand clean" -s f -l force -d 'Also those that run, and whatever is lost with them'
complete -c cib -n "__fish_cib_using_subcommand clean" -l all-repos -d 'Those of other repositories, too'
complete -c cib -n "__fish_cib_using_subcommand clean" -l keep-volumes -d 'Keep their volumes'
complete -c cib -n "__fish_cib_using_subcommand clean" -l volumes -d 'Their volumes go as well, which is so unless they are kept'
complete -c cib -n "__fish_cib_using_subcommand clean" -l images -d 'Also the images of this project\'s that no box has any more, but the one that a start takes'
complete -c cib -n "__fish_cib_using_subcommand clean" -s y -l yes -d 'Do not ask before anything goes'
complete -c cib -n "__fish_cib_using_subcommand clean" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand clean" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand clean" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand clean" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand fetch" -l max-fetch -d 'Bytes that are taken of the box, at most' -r
complete -c cib -n "__fish_cib_using_subcommand fetch" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand fetch" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand fetch" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand fetch" -l all-branches -d 'All branches, not only the box\'s own'
complete -c cib -n "__fish_cib_using_subcommand fetch" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand fetch" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand fetch" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand fetch" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand diff" -l commit -d 'What this commit of the box\'s changes, alone' -r
complete -c cib -n "__fish_cib_using_subcommand diff" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand diff" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand diff" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand diff" -l stat -d 'Files and how much of them, instead of lines'
complete -c cib -n "__fish_cib_using_subcommand diff" -l wip -d 'What is not committed as well'
complete -c cib -n "__fish_cib_using_subcommand diff" -l no-pager -d 'Print it, whatever the terminal'
complete -c cib -n "__fish_cib_using_subcommand diff" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand diff" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand diff" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand diff" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand apply" -l branch -d 'The branch here [default: as in the box]' -r
complete -c cib -n "__fish_cib_using_subcommand apply" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand apply" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand apply" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand apply" -l merge -d 'Merge it into what is checked out'
complete -c cib -n "__fish_cib_using_subcommand apply" -l checkout -d 'Check it out'
complete -c cib -n "__fish_cib_using_subcommand apply" -l patch -d 'Take what is not committed in the box into the working tree and index'
complete -c cib -n "__fish_cib_using_subcommand apply" -s y -l yes -d 'Although it changes what acts by itself'
complete -c cib -n "__fish_cib_using_subcommand apply" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand apply" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand apply" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand apply" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand pull" -l branch -d 'The branch here [default: as in the box]' -r
complete -c cib -n "__fish_cib_using_subcommand pull" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand pull" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand pull" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand pull" -l merge -d 'Merge it into what is checked out'
complete -c cib -n "__fish_cib_using_subcommand pull" -l checkout -d 'Check it out'
complete -c cib -n "__fish_cib_using_subcommand pull" -l patch -d 'Take what is not committed in the box into the working tree and index'
complete -c cib -n "__fish_cib_using_subcommand pull" -s y -l yes -d 'Although it changes what acts by itself'
complete -c cib -n "__fish_cib_using_subcommand pull" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand pull" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand pull" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand pull" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand push" -l remote -d 'The remote [default: the box\'s, else remote.pushDefault, else origin]' -r
complete -c cib -n "__fish_cib_using_subcommand push" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand push" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand push" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand push" -s y -l yes -d 'Although it changes what acts by itself'
complete -c cib -n "__fish_cib_using_subcommand push" -l allow-default -d 'Although it is the remote\'s default branch'
complete -c cib -n "__fish_cib_using_subcommand push" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand push" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand push" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand push" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand pr" -l remote -d 'The remote [default: the box\'s, else remote.pushDefault, else origin]' -r
complete -c cib -n "__fish_cib_using_subcommand pr" -l base -d 'The branch that it is to go into [default: the remote\'s default branch]' -r
complete -c cib -n "__fish_cib_using_subcommand pr" -l title -d 'Its title [default: the first commit\'s]' -r
complete -c cib -n "__fish_cib_using_subcommand pr" -l body -d 'Its text [default: the commits\' messages]' -r
complete -c cib -n "__fish_cib_using_subcommand pr" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand pr" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand pr" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand pr" -s y -l yes -d 'Although it changes what acts by itself'
complete -c cib -n "__fish_cib_using_subcommand pr" -l allow-default -d 'Although it is the remote\'s default branch'
complete -c cib -n "__fish_cib_using_subcommand pr" -l draft -d 'Not yet to be merged'
complete -c cib -n "__fish_cib_using_subcommand pr" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand pr" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand pr" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand pr" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand watch" -l count -d 'End after so many commits' -r
complete -c cib -n "__fish_cib_using_subcommand watch" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand watch" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand watch" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand watch" -l auto-push -d 'Push what is committed, unless it changes what acts by itself'
complete -c cib -n "__fish_cib_using_subcommand watch" -l auto-pr -d 'Push it, and open a pull request'
complete -c cib -n "__fish_cib_using_subcommand watch" -l no-push -d 'Do not, whatever the configuration says'
complete -c cib -n "__fish_cib_using_subcommand watch" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand watch" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand watch" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand watch" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand exec" -s w -l workdir -d 'Folder that it runs in [default: /workspace]' -r
complete -c cib -n "__fish_cib_using_subcommand exec" -s e -l env -d 'A variable' -r
complete -c cib -n "__fish_cib_using_subcommand exec" -s u -l user -d 'As coder, which is so without it, as root, or as another user of the box\'s' -r
complete -c cib -n "__fish_cib_using_subcommand exec" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand exec" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand exec" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand exec" -l root -d 'As the container\'s root, past the agent\'s restrictions'
complete -c cib -n "__fish_cib_using_subcommand exec" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand exec" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand exec" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand exec" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand shell" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand shell" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand shell" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand shell" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand shell" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand shell" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand shell" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand cp" -l max -d 'Bytes that are taken of the box, at most' -r
complete -c cib -n "__fish_cib_using_subcommand cp" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand cp" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand cp" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand cp" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand cp" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand cp" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand cp" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand send" -s b -l box -d 'Name or id of the box, or a beginning of it [default: the only one of this repository]' -r
complete -c cib -n "__fish_cib_using_subcommand send" -l session -d 'A session\'s id, or a beginning of it [default: the newest that lives, else a new one]' -r
complete -c cib -n "__fish_cib_using_subcommand send" -s t -l time -d 'Seconds to wait for an answer, at most' -r
complete -c cib -n "__fish_cib_using_subcommand send" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand send" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand send" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand send" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand send" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand send" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand send" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand ask" -s b -l box -d 'Name or id of the box, or a beginning of it [default: the only one of this repository]' -r
complete -c cib -n "__fish_cib_using_subcommand ask" -l session -d 'A session\'s id, or a beginning of it [default: the newest that lives, else a new one]' -r
complete -c cib -n "__fish_cib_using_subcommand ask" -s t -l time -d 'Seconds to wait for an answer, at most' -r
complete -c cib -n "__fish_cib_using_subcommand ask" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand ask" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand ask" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand ask" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand ask" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand ask" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand ask" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand status" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand status" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand status" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand status" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand status" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand status" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand status" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand login" -l code -d 'The code that the page has shown, for a login that was begun' -r
complete -c cib -n "__fish_cib_using_subcommand login" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand login" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand login" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand login" -l status -d 'Say whether it is logged in, and do nothing'
complete -c cib -n "__fish_cib_using_subcommand login" -l renew -d 'Give it this machine\'s credential once more, for one that has ended or is going to; a box that runs is started anew, and its sessions can be resumed'
complete -c cib -n "__fish_cib_using_subcommand login" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand login" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand login" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand login" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand tokens" -l create -d 'Make one with this label, and print it this once' -r
complete -c cib -n "__fish_cib_using_subcommand tokens" -l scope -d 'What it may do' -r
complete -c cib -n "__fish_cib_using_subcommand tokens" -l ttl -d 'Seconds that it lives' -r
complete -c cib -n "__fish_cib_using_subcommand tokens" -l kind -d 'bearer, or device: a key of the sealed envelope, for what has no TLS' -r -f -a "bearer\t''
device\t''"
complete -c cib -n "__fish_cib_using_subcommand tokens" -l revoke -d 'Revoke the one with this id' -r
complete -c cib -n "__fish_cib_using_subcommand tokens" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand tokens" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand tokens" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand tokens" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand tokens" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand tokens" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand tokens" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand task; and not __fish_seen_subcommand_from submit list ls show logs cancel help" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and not __fish_seen_subcommand_from submit list ls show logs cancel help" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand task; and not __fish_seen_subcommand_from submit list ls show logs cancel help" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand task; and not __fish_seen_subcommand_from submit list ls show logs cancel help" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand task; and not __fish_seen_subcommand_from submit list ls show logs cancel help" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand task; and not __fish_seen_subcommand_from submit list ls show logs cancel help" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand task; and not __fish_seen_subcommand_from submit list ls show logs cancel help" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand task; and not __fish_seen_subcommand_from submit list ls show logs cancel help" -f -a "submit" -d 'Send a task to a box, or as a job of its own to Kubernetes or a Swarm'
complete -c cib -n "__fish_cib_using_subcommand task; and not __fish_seen_subcommand_from submit list ls show logs cancel help" -f -a "list" -d 'List tasks'
complete -c cib -n "__fish_cib_using_subcommand task; and not __fish_seen_subcommand_from submit list ls show logs cancel help" -f -a "ls" -d 'List tasks'
complete -c cib -n "__fish_cib_using_subcommand task; and not __fish_seen_subcommand_from submit list ls show logs cancel help" -f -a "show" -d 'Show a task; exits as the task did, or with 0 while it has not ended'
complete -c cib -n "__fish_cib_using_subcommand task; and not __fish_seen_subcommand_from submit list ls show logs cancel help" -f -a "logs" -d 'Show a task\'s log'
complete -c cib -n "__fish_cib_using_subcommand task; and not __fish_seen_subcommand_from submit list ls show logs cancel help" -f -a "cancel" -d 'Cancel a task; its work is saved'
complete -c cib -n "__fish_cib_using_subcommand task; and not __fish_seen_subcommand_from submit list ls show logs cancel help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l to -d 'Where tasks run' -r -f -a "box\t'In a box, by its API'
kubernetes\t'As a Job, by `kubectl` as it is set up here'
swarm\t'As a service in job mode, by `docker` as it is set up here'"
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l box -d 'Name or id of a box, or a beginning of it [default: the only one of this repository]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l namespace -d 'Namespace of the cluster [default: kubectl\'s own]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l context -d 'The cluster, as kubectl\'s configuration names it [default: kubectl\'s own]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l repo -d 'The repository: owner/name or a URL [default: what the remote of this repository names]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l base -d 'The branch to begin on [default: the repository\'s own]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l branch -d 'The branch to work on [default: claude/ID]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l model -d 'Claude\'s model' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l effort -d 'Reasoning effort' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l setup -d 'A command to run in the work tree before Claude begins; can be said again' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l turns -d 'Turns that Claude may take' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l cost -d 'US dollars that it may cost' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l minutes -d 'Minutes that Claude may work' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l prompt-file -d 'File with what is to be done; `-` is standard input' -r -F
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l image -d 'The image of a job [CIB_IMAGE]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l secret -d 'The Secret of a job, in its namespace, with the files that --credential names' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l credential -d 'A variable whose value a job finds in a secret: ANTHROPIC_API_KEY is the file anthropic_api_key of a Secret, or the secret cib_anthropic_api_key of a Swarm; can be said again [default: ANTHROPIC_API_KEY and CIB_GITHUB_TOKEN]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l queue -d 'The queue of a job, with Kueue' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l memory -d 'Memory that a job may use' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l ready -d 'The pull request is ready for review at the end'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l private-prompt -d 'The pull request says nothing of the prompt'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l proxy -d 'Nothing leaves a job but through a proxy, whose URL is the file proxy_url of the Secret cib-egress, or the secret cib_proxy_url of a Swarm'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l dry-run -d 'Print what would be sent, and send nothing'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -s f -l follow -d 'Follow the log until it has ended, and exit as the task does'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from submit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from list" -l to -d 'Where tasks run' -r -f -a "box\t'In a box, by its API'
kubernetes\t'As a Job, by `kubectl` as it is set up here'
swarm\t'As a service in job mode, by `docker` as it is set up here'"
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from list" -l box -d 'Name or id of a box, or a beginning of it [default: the only one of this repository]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from list" -l namespace -d 'Namespace of the cluster [default: kubectl\'s own]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from list" -l context -d 'The cluster, as kubectl\'s configuration names it [default: kubectl\'s own]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from list" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from list" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from list" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from list" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from list" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from ls" -l to -d 'Where tasks run' -r -f -a "box\t'In a box, by its API'
kubernetes\t'As a Job, by `kubectl` as it is set up here'
swarm\t'As a service in job mode, by `docker` as it is set up here'"
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from ls" -l box -d 'Name or id of a box, or a beginning of it [default: the only one of this repository]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from ls" -l namespace -d 'Namespace of the cluster [default: kubectl\'s own]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from ls" -l context -d 'The cluster, as kubectl\'s configuration names it [default: kubectl\'s own]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from ls" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from ls" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from ls" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from ls" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from ls" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from show" -l to -d 'Where tasks run' -r -f -a "box\t'In a box, by its API'
kubernetes\t'As a Job, by `kubectl` as it is set up here'
swarm\t'As a service in job mode, by `docker` as it is set up here'"
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from show" -l box -d 'Name or id of a box, or a beginning of it [default: the only one of this repository]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from show" -l namespace -d 'Namespace of the cluster [default: kubectl\'s own]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from show" -l context -d 'The cluster, as kubectl\'s configuration names it [default: kubectl\'s own]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from show" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from show" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from show" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from show" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from show" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from logs" -l to -d 'Where tasks run' -r -f -a "box\t'In a box, by its API'
kubernetes\t'As a Job, by `kubectl` as it is set up here'
swarm\t'As a service in job mode, by `docker` as it is set up here'"
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from logs" -l box -d 'Name or id of a box, or a beginning of it [default: the only one of this repository]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from logs" -l namespace -d 'Namespace of the cluster [default: kubectl\'s own]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from logs" -l context -d 'The cluster, as kubectl\'s configuration names it [default: kubectl\'s own]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from logs" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from logs" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from logs" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from logs" -s f -l follow -d 'Go on until the task has ended'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from logs" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from logs" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from logs" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from logs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from cancel" -l to -d 'Where tasks run' -r -f -a "box\t'In a box, by its API'
kubernetes\t'As a Job, by `kubectl` as it is set up here'
swarm\t'As a service in job mode, by `docker` as it is set up here'"
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from cancel" -l box -d 'Name or id of a box, or a beginning of it [default: the only one of this repository]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from cancel" -l namespace -d 'Namespace of the cluster [default: kubectl\'s own]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from cancel" -l context -d 'The cluster, as kubectl\'s configuration names it [default: kubectl\'s own]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from cancel" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from cancel" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from cancel" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from cancel" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from cancel" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from cancel" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from cancel" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from help" -f -a "submit" -d 'Send a task to a box, or as a job of its own to Kubernetes or a Swarm'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from help" -f -a "list" -d 'List tasks'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show a task; exits as the task did, or with 0 while it has not ended'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from help" -f -a "logs" -d 'Show a task\'s log'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from help" -f -a "cancel" -d 'Cancel a task; its work is saved'
complete -c cib -n "__fish_cib_using_subcommand task; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c cib -n "__fish_cib_using_subcommand offload; and not __fish_seen_subcommand_from install uninstall status attach hook carry help" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand offload; and not __fish_seen_subcommand_from install uninstall status attach hook carry help" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand offload; and not __fish_seen_subcommand_from install uninstall status attach hook carry help" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand offload; and not __fish_seen_subcommand_from install uninstall status attach hook carry help" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand offload; and not __fish_seen_subcommand_from install uninstall status attach hook carry help" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand offload; and not __fish_seen_subcommand_from install uninstall status attach hook carry help" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand offload; and not __fish_seen_subcommand_from install uninstall status attach hook carry help" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand offload; and not __fish_seen_subcommand_from install uninstall status attach hook carry help" -f -a "install" -d 'Put the hooks into this repository\'s .claude/settings.local.json'
complete -c cib -n "__fish_cib_using_subcommand offload; and not __fish_seen_subcommand_from install uninstall status attach hook carry help" -f -a "uninstall" -d 'Take them out, and leave every file as it was'
complete -c cib -n "__fish_cib_using_subcommand offload; and not __fish_seen_subcommand_from install uninstall status attach hook carry help" -f -a "status" -d 'Show where the hooks are, and what has become of each plan'
complete -c cib -n "__fish_cib_using_subcommand offload; and not __fish_seen_subcommand_from install uninstall status attach hook carry help" -f -a "attach" -d 'Attach this terminal to the session that carries a plan out'
complete -c cib -n "__fish_cib_using_subcommand offload; and not __fish_seen_subcommand_from install uninstall status attach hook carry help" -f -a "hook" -d 'What Claude calls; it says what has happened on standard input'
complete -c cib -n "__fish_cib_using_subcommand offload; and not __fish_seen_subcommand_from install uninstall status attach hook carry help" -f -a "carry" -d 'What a hook leaves behind to move a session'
complete -c cib -n "__fish_cib_using_subcommand offload; and not __fish_seen_subcommand_from install uninstall status attach hook carry help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from install" -s b -l branch -d 'The branch that commits come back on [default: feature/auto]' -r
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from install" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from install" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from install" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from install" -l user -d 'Into the person\'s own settings, for every repository'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from install" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from install" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from install" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from uninstall" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from uninstall" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from uninstall" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from uninstall" -l user -d 'Those in the person\'s own settings'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from uninstall" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from uninstall" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from uninstall" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from uninstall" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from status" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from status" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from status" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from status" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from status" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from status" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from attach" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from attach" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from attach" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from attach" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from attach" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from attach" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from attach" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from hook" -l branch -d 'The branch that commits come back on' -r
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from hook" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from hook" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from hook" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from hook" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from hook" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from hook" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from hook" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from carry" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from carry" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from carry" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from carry" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from carry" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from carry" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from carry" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from help" -f -a "install" -d 'Put the hooks into this repository\'s .claude/settings.local.json'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from help" -f -a "uninstall" -d 'Take them out, and leave every file as it was'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from help" -f -a "status" -d 'Show where the hooks are, and what has become of each plan'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from help" -f -a "attach" -d 'Attach this terminal to the session that carries a plan out'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from help" -f -a "hook" -d 'What Claude calls; it says what has happened on standard input'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from help" -f -a "carry" -d 'What a hook leaves behind to move a session'
complete -c cib -n "__fish_cib_using_subcommand offload; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c cib -n "__fish_cib_using_subcommand runner; and not __fish_seen_subcommand_from start shell stop help" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand runner; and not __fish_seen_subcommand_from start shell stop help" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand runner; and not __fish_seen_subcommand_from start shell stop help" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand runner; and not __fish_seen_subcommand_from start shell stop help" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand runner; and not __fish_seen_subcommand_from start shell stop help" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand runner; and not __fish_seen_subcommand_from start shell stop help" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand runner; and not __fish_seen_subcommand_from start shell stop help" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand runner; and not __fish_seen_subcommand_from start shell stop help" -f -a "start" -d 'Start it, or start it once more'
complete -c cib -n "__fish_cib_using_subcommand runner; and not __fish_seen_subcommand_from start shell stop help" -f -a "shell" -d 'A shell in it: claude, and the first time /login'
complete -c cib -n "__fish_cib_using_subcommand runner; and not __fish_seen_subcommand_from start shell stop help" -f -a "stop" -d 'Stop it; what is in it stays'
complete -c cib -n "__fish_cib_using_subcommand runner; and not __fish_seen_subcommand_from start shell stop help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from start" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from start" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from start" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from start" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from start" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from start" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from start" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from shell" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from shell" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from shell" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from shell" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from shell" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from shell" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from shell" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from stop" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from stop" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from stop" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from stop" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from stop" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from stop" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from stop" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from help" -f -a "start" -d 'Start it, or start it once more'
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from help" -f -a "shell" -d 'A shell in it: claude, and the first time /login'
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from help" -f -a "stop" -d 'Stop it; what is in it stays'
complete -c cib -n "__fish_cib_using_subcommand runner; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c cib -n "__fish_cib_using_subcommand self-update" -l to -d 'Exactly this version' -r
complete -c cib -n "__fish_cib_using_subcommand self-update" -l from -d 'Folder, or address of one, with SHA256SUMS, SHA256SUMS.minisig and the programs [CIB_UPDATE_FROM]' -r
complete -c cib -n "__fish_cib_using_subcommand self-update" -l key -d 'Public key of minisign that the release has to be signed with [CIB_UPDATE_KEY] [default: the project\'s]' -r -F
complete -c cib -n "__fish_cib_using_subcommand self-update" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand self-update" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand self-update" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand self-update" -l check -d 'Say whether there is a newer one, and do nothing'
complete -c cib -n "__fish_cib_using_subcommand self-update" -l rollback -d 'Go back to the program that the last update has replaced'
complete -c cib -n "__fish_cib_using_subcommand self-update" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand self-update" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand self-update" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand self-update" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand update" -l to -d 'Exactly this version' -r
complete -c cib -n "__fish_cib_using_subcommand update" -l from -d 'Folder, or address of one, with SHA256SUMS, SHA256SUMS.minisig and the programs [CIB_UPDATE_FROM]' -r
complete -c cib -n "__fish_cib_using_subcommand update" -l key -d 'Public key of minisign that the release has to be signed with [CIB_UPDATE_KEY] [default: the project\'s]' -r -F
complete -c cib -n "__fish_cib_using_subcommand update" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand update" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand update" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand update" -l check -d 'Say whether there is a newer one, and do nothing'
complete -c cib -n "__fish_cib_using_subcommand update" -l rollback -d 'Go back to the program that the last update has replaced'
complete -c cib -n "__fish_cib_using_subcommand update" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand update" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand update" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand update" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand config; and not __fish_seen_subcommand_from show check edit keys schema migrate help" -s p -l path -d 'The same as `--config`' -r -F
complete -c cib -n "__fish_cib_using_subcommand config; and not __fish_seen_subcommand_from show check edit keys schema migrate help" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand config; and not __fish_seen_subcommand_from show check edit keys schema migrate help" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand config; and not __fish_seen_subcommand_from show check edit keys schema migrate help" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand config; and not __fish_seen_subcommand_from show check edit keys schema migrate help" -l migrate -d 'The same as `migrate`'
complete -c cib -n "__fish_cib_using_subcommand config; and not __fish_seen_subcommand_from show check edit keys schema migrate help" -l schema -d 'The same as `schema`'
complete -c cib -n "__fish_cib_using_subcommand config; and not __fish_seen_subcommand_from show check edit keys schema migrate help" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand config; and not __fish_seen_subcommand_from show check edit keys schema migrate help" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand config; and not __fish_seen_subcommand_from show check edit keys schema migrate help" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand config; and not __fish_seen_subcommand_from show check edit keys schema migrate help" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand config; and not __fish_seen_subcommand_from show check edit keys schema migrate help" -f -a "show" -d 'Print each key\'s value and where it stands'
complete -c cib -n "__fish_cib_using_subcommand config; and not __fish_seen_subcommand_from show check edit keys schema migrate help" -f -a "check" -d 'Exit with 0 if everything can be used, else with 78 and what cannot'
complete -c cib -n "__fish_cib_using_subcommand config; and not __fish_seen_subcommand_from show check edit keys schema migrate help" -f -a "edit" -d 'Open the project\'s file, or a new .cib/config.json, in the editor'
complete -c cib -n "__fish_cib_using_subcommand config; and not __fish_seen_subcommand_from show check edit keys schema migrate help" -f -a "keys" -d 'Print every key with what it is'
complete -c cib -n "__fish_cib_using_subcommand config; and not __fish_seen_subcommand_from show check edit keys schema migrate help" -f -a "schema" -d 'Print a JSON Schema of the file, for editors'
complete -c cib -n "__fish_cib_using_subcommand config; and not __fish_seen_subcommand_from show check edit keys schema migrate help" -f -a "migrate" -d 'Write what a claude-run.config.json says into .cib/config.json, and leave it as it is'
complete -c cib -n "__fish_cib_using_subcommand config; and not __fish_seen_subcommand_from show check edit keys schema migrate help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from show" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from show" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from show" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from show" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from check" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from check" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from check" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from check" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from check" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from check" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from edit" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from edit" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from edit" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from edit" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from edit" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from edit" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from edit" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from keys" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from keys" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from keys" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from keys" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from keys" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from keys" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from keys" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from schema" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from schema" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from schema" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from schema" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from schema" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from schema" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from schema" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from migrate" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from migrate" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from migrate" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from migrate" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from migrate" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from migrate" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from migrate" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print each key\'s value and where it stands'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "check" -d 'Exit with 0 if everything can be used, else with 78 and what cannot'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "edit" -d 'Open the project\'s file, or a new .cib/config.json, in the editor'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "keys" -d 'Print every key with what it is'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "schema" -d 'Print a JSON Schema of the file, for editors'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "migrate" -d 'Write what a claude-run.config.json says into .cib/config.json, and leave it as it is'
complete -c cib -n "__fish_cib_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c cib -n "__fish_cib_using_subcommand doctor" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand doctor" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand doctor" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand doctor" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand doctor" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand doctor" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand completion" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand completion" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand completion" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand completion" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand completion" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand completion" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand completion" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand man" -l engine -d 'docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]' -r
complete -c cib -n "__fish_cib_using_subcommand man" -s c -l config -d 'The project\'s configuration [default: claude-run.config.json, .cib/config.json or cib.toml at the repository\'s top]' -r -F
complete -c cib -n "__fish_cib_using_subcommand man" -s C -d 'Act as if started in this folder' -r -F
complete -c cib -n "__fish_cib_using_subcommand man" -l json -d 'The result as JSON on standard output, and nothing else there'
complete -c cib -n "__fish_cib_using_subcommand man" -s q -l quiet -d 'Say only what went wrong'
complete -c cib -n "__fish_cib_using_subcommand man" -l no-input -d 'Never ask; fail and name the flag that answers'
complete -c cib -n "__fish_cib_using_subcommand man" -s h -l help -d 'Print help'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "start" -d 'Start a box with a copy of this repository, and Claude in it'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "list" -d 'List boxes'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "attach" -d 'Attach this terminal to a session'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "open" -d 'Open a box\'s page in the browser'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "port" -d 'Reach a port of a box from this machine, until Ctrl-C'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "stop" -d 'Stop boxes in order; what is in them stays'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "logs" -d 'Show what a box says'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "rm" -d 'Remove a box, unless it has commits that are nowhere else'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "clean" -d 'Remove boxes that do not run, unless they have commits that are nowhere else'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "fetch" -d 'Bring over what a box has committed, as refs of this repository'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "diff" -d 'Show what a box has done'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "apply" -d 'Make a branch of what a box has committed'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "push" -d 'Push a box\'s branch from this machine'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "pr" -d 'Push a box\'s branch and open a pull request'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "watch" -d 'Tell of each commit in a box as it is made'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "exec" -d 'Run a command in a box, with the restrictions of the agent'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "shell" -d 'A shell in a box, with the restrictions of the agent'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "cp" -d 'Copy files to a box or from it: SOURCE and TARGET are paths or BOX:PATH'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "send" -d 'Say something to Claude in a box'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "ask" -d 'Say something to Claude in a box, and wait for the answer'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "status" -d 'Show a box: its sessions, what they do and ask, its credential'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "login" -d 'Log Claude in, in a box'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "tokens" -d 'Tokens of a box for other devices'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "task" -d 'Send tasks to a box, to Kubernetes or to a Swarm, and follow them'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "offload" -d 'Have plans that are approved in Claude on this machine carried out in boxes'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "runner" -d 'A box of this repository that stays, with a shell to work in'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "self-update" -d 'Replace this program by a newer one that is signed'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "config" -d 'Show the configuration, and where each value stands'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "doctor" -d 'Look at everything that boxes need, and say what helps'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "completion" -d 'Print what completes this command line in a shell'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "man" -d 'Print the manual page, or that of a command'
complete -c cib -n "__fish_cib_using_subcommand help; and not __fish_seen_subcommand_from start list attach open port stop logs rm clean fetch diff apply push pr watch exec shell cp send ask status login tokens task offload runner self-update config doctor completion man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c cib -n "__fish_cib_using_subcommand help; and __fish_seen_subcommand_from task" -f -a "submit" -d 'Send a task to a box, or as a job of its own to Kubernetes or a Swarm'
complete -c cib -n "__fish_cib_using_subcommand help; and __fish_seen_subcommand_from task" -f -a "list" -d 'List tasks'
complete -c cib -n "__fish_cib_using_subcommand help; and __fish_seen_subcommand_from task" -f -a "show" -d 'Show a task; exits as the task did, or with 0 while it has not ended'
complete -c cib -n "__fish_cib_using_subcommand help; and __fish_seen_subcommand_from task" -f -a "logs" -d 'Show a task\'s log'
complete -c cib -n "__fish_cib_using_subcommand help; and __fish_seen_subcommand_from task" -f -a "cancel" -d 'Cancel a task; its work is saved'
complete -c cib -n "__fish_cib_using_subcommand help; and __fish_seen_subcommand_from offload" -f -a "install" -d 'Put the hooks into this repository\'s .claude/settings.local.json'
complete -c cib -n "__fish_cib_using_subcommand help; and __fish_seen_subcommand_from offload" -f -a "uninstall" -d 'Take them out, and leave every file as it was'
complete -c cib -n "__fish_cib_using_subcommand help; and __fish_seen_subcommand_from offload" -f -a "status" -d 'Show where the hooks are, and what has become of each plan'
complete -c cib -n "__fish_cib_using_subcommand help; and __fish_seen_subcommand_from offload" -f -a "attach" -d 'Attach this terminal to the session that carries a plan out'
complete -c cib -n "__fish_cib_using_subcommand help; and __fish_seen_subcommand_from offload" -f -a "hook" -d 'What Claude calls; it says what has happened on standard input'
complete -c cib -n "__fish_cib_using_subcommand help; and __fish_seen_subcommand_from offload" -f -a "carry" -d 'What a hook leaves behind to move a session'
complete -c cib -n "__fish_cib_using_subcommand help; and __fish_seen_subcommand_from runner" -f -a "start" -d 'Start it, or start it once more'
complete -c cib -n "__fish_cib_using_subcommand help; and __fish_seen_subcommand_from runner" -f -a "shell" -d 'A shell in it: claude, and the first time /login'
complete -c cib -n "__fish_cib_using_subcommand help; and __fish_seen_subcommand_from runner" -f -a "stop" -d 'Stop it; what is in it stays'
complete -c cib -n "__fish_cib_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Print each key\'s value and where it stands'
complete -c cib -n "__fish_cib_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "check" -d 'Exit with 0 if everything can be used, else with 78 and what cannot'
complete -c cib -n "__fish_cib_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "edit" -d 'Open the project\'s file, or a new .cib/config.json, in the editor'
complete -c cib -n "__fish_cib_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "keys" -d 'Print every key with what it is'
complete -c cib -n "__fish_cib_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "schema" -d 'Print a JSON Schema of the file, for editors'
complete -c cib -n "__fish_cib_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "migrate" -d 'Write what a claude-run.config.json says into .cib/config.json, and leave it as it is'
