#!/usr/bin/env bash
# Becomes the private engine's daemon. Runs alone in a new mount namespace (unshare -m), so
# that none of these mounts is seen by the machine, and all of them go with the daemon.
#
# The daemon sees the engine's own /usr and /etc, and the machine's everything else at the
# same paths, so that `docker run --volume /home/me/code:/workspace` means what it says.
set -euo pipefail

dir=$1
root=$dir/root

# A mount point of its own: pivot_root refuses anything else.
mount --bind "$root" "$root"

for entry in /*; do
  [[ -d $entry && ! -L $entry ]] || continue
  case $entry in
    /bin | /boot | /etc | /lib | /lib32 | /lib64 | /libx32 | /lost+found | /sbin | /usr) continue ;;
  esac
  mkdir -p "$root$entry"
  mount --rbind "$entry" "$root$entry"
done

# The running kernel's modules are the machine's: the daemon loads what a network needs.
if [[ -d /lib/modules ]]; then
  mkdir -p "$root/usr/lib/modules"
  mount --bind /lib/modules "$root/usr/lib/modules"
fi

# The daemon's limits are its containers' limits: 1024 descriptors stall redsocks at 128
# connections.
ulimit -n 1048576 2>/dev/null || ulimit -n "$(ulimit -Hn)"

# pivot_root and not chroot: whoever enters a mount namespace later, as `docker exec` does,
# gets the root of that namespace, and under a chroot that would still be the machine's.
mkdir -p "$root/.machine"
cd "$root"
pivot_root . .machine
umount --lazy /.machine
cd /

export PATH=/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin HOME=/root
export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
exec dockerd --config-file "$dir/daemon.json" --data-root "$dir/data" --exec-root "$dir/exec" \
  --pidfile "$dir/dockerd.pid" --host "unix://$dir/docker.sock"
