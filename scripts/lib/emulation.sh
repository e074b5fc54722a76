# shellcheck shell=bash
# Running another platform's programs: only to unpack its packages and to boot its images.
# Nothing is ever compiled this way.

# emulation_ensure DEBIAN_ARCH...: the kernel hands these platforms' programs to qemu.
emulation_ensure() {
  local arch
  local -a missing=()
  for arch in "$@"; do emulation_works "$arch" || missing+=("$arch"); done
  ((${#missing[@]})) || return 0
  need_root "emulating ${missing[*]}"
  apt_install arch-test binfmt-support qemu-user-static
  [[ -e /proc/sys/fs/binfmt_misc/register ]] || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
  for arch in "${missing[@]}"; do
    # Its package registers it at boot, which a machine that has just installed it has not had.
    update-binfmts --import "$(emulation_name "$arch")" >/dev/null 2>&1 || true
    update-binfmts --enable "$(emulation_name "$arch")" >/dev/null 2>&1 || true
    emulation_works "$arch" || die "$EX_SOFTWARE" "this machine cannot run $arch programs: is binfmt_misc in its kernel?"
  done
}

emulation_works() { command -v arch-test >/dev/null && arch-test "$1" >/dev/null 2>&1; }

emulation_name() {
  case $1 in
    amd64) printf 'qemu-x86_64\n' ;;
    arm64) printf 'qemu-aarch64\n' ;;
    armhf) printf 'qemu-arm\n' ;;
  esac
}
