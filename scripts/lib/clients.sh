# shellcheck shell=bash
# The clients in other languages: built, measured, tried on the vectors of the page and against a
# real server.

# shellcheck source=scripts/lib/rust.sh
source "$CIB_ROOT/scripts/lib/rust.sh"

# Bytes of flash that the client may take with HTTP, JSON, AES-256-GCM and SHA-256.
readonly CLIENTS_FLASH=12000

readonly -a CLIENTS_WARNINGS=(-std=c99 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
readonly -a CLIENTS_SANE=(-g -O1 '-fsanitize=address,undefined' -fno-sanitize-recover=all)
readonly -a CLIENTS_CORE=(src/cib.c src/cib_core.c src/cib_http.c src/cib_json.c)

clients_dir() { printf '%s/clients\n' "$(cib_cache)"; }

clients_packages() {
  apt_install gcc libc6-dev clang libclang-rt-dev libmbedtls-dev python3 python3-cryptography \
    gcc-arm-none-eabi gcc-riscv64-unknown-elf picolibc-arm-none-eabi picolibc-riscv64-unknown-elf \
    qemu-system-arm qemu-system-misc
}

# clients_sdks: what the lock file of the official SDKs names, installed once for each state of it. No
# package's own script is run.
clients_sdks() {
  local wanted folder=$CIB_ROOT/clients/conformance
  wanted=$(sha256sum <"$folder/package-lock.json")
  [[ $(cat "$folder/node_modules/.cib-lock" 2>/dev/null) == "$wanted" ]] && return 0
  step "Installing the official SDKs"
  (cd "$folder" && quietly "$(cib_cache)/npm-sdks.log" npm ci --ignore-scripts --no-audit --no-fund)
  printf '%s' "$wanted" >"$folder/node_modules/.cib-lock"
}

# clients_mbedtls: the folder with mbedTLS's source, as this Debian has it, for chips that Debian has
# no library for.
clients_mbedtls() {
  local folder archive list
  folder=$(clients_dir)/mbedtls
  if [[ ! -e $folder/library/aes.c ]]; then
    list=$(mktemp -d)
    mkdir -p "$list/lists/partial" "$folder"
    # shellcheck source=/dev/null
    debian_sources "$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")" | sed 's/^deb /deb-src /' >"$list/sources.list"
    local -a from=(-o Dir::Etc::sourcelist="$list/sources.list" -o Dir::Etc::sourceparts=-
      -o Dir::State::lists="$list/lists" -o Acquire::Retries=3)
    quietly "$(cib_cache)/mbedtls.log" apt-get update "${from[@]}"
    (cd "$list" && quietly "$(cib_cache)/mbedtls.log" apt-get source --download-only "${from[@]}" mbedtls)
    archive=$(find "$list" -name '*.orig.tar.*' -not -name '*.asc' -print -quit)
    tar -xf "$archive" -C "$folder" --strip-components=1
    rm -rf "$list"
  fi
  printf '%s\n' "$folder"
}

# clients_build: everything that the tests run.
clients_build() {
  local out mbedtls sdks crt0=hosted
  out=$(clients_dir)
  mkdir -p "$out"
  # A registry takes its time, and no processor's.
  clients_sdks &
  sdks=$!
  mbedtls=$(clients_mbedtls)
  python3 "$CIB_ROOT/clients/c/tests/page.py" "$CIB_ROOT/docs/AES-TRANSPORT.md" >"$out/page.c"
  (
    cd "$CIB_ROOT/clients/c" || exit
    local -a small=(-std=c99 -Os -Wall -Wextra -Werror -ffunction-sections -fdata-sections '-Wl,--gc-sections'
      -I"$mbedtls/include" -I"$mbedtls/library" '-DMBEDTLS_CONFIG_FILE=<mbedtls_config.h>' -Itests -Itests/bare)
    local -a sources=("${CLIENTS_CORE[@]}" src/cib_gcm.c src/cib_mbedtls_aes.c
      "$mbedtls"/library/{aes,sha256,platform_util}.c)
    local -a test=("${CLIENTS_WARNINGS[@]}" "${CLIENTS_SANE[@]}" -Itests "${CLIENTS_CORE[@]}"
      tests/test_vectors.c tests/replay.c "$out/page.c")
    gcc "${test[@]}" src/cib_mbedtls.c -lmbedcrypto -o "$out/vectors-mbedtls"
    gcc "${test[@]}" src/cib_mbedtls_aes.c src/cib_gcm.c -lmbedcrypto -o "$out/vectors-aes"
    gcc "${test[@]}" -DCIB_SHA256_WORDS=48 -DVECTORS_PSA src/cib_psa.c -lmbedcrypto -o "$out/vectors-psa"
    gcc "${CLIENTS_WARNINGS[@]}" "${CLIENTS_SANE[@]}" "${CLIENTS_CORE[@]}" src/cib_mbedtls.c \
      tests/device.c tests/host.c -lmbedcrypto -o "$out/device"
    gcc "${CLIENTS_WARNINGS[@]}" "${CLIENTS_SANE[@]}" examples/tcp/follow.c src/cib_core.c src/cib_mbedtls.c \
      -lmbedcrypto -o "$out/follow-tcp"
    (("$(wc -l <examples/tcp/follow.c)" < 200)) || die "$EX_SOFTWARE" "the smallest follower has 200 lines"
    clang "${CLIENTS_WARNINGS[@]}" -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Itests \
      "${CLIENTS_CORE[@]}" src/cib_mbedtls.c tests/fuzz.c tests/replay.c "$out/page.c" -lmbedcrypto -o "$out/fuzz"
    local -a arm=(arm-none-eabi-gcc -mcpu=cortex-m3 -mthumb)
    # A RISC-V's instructions are longer; optimized as one program the client fits all the same.
    local -a riscv=(riscv64-unknown-elf-gcc -march=rv32imac -mabi=ilp32 -msave-restore -flto)
    # Newer picolibc has another name for the same.
    "${arm[@]}" --specs=picolibc.specs --crt0=hosted -x c - -o /dev/null <<<'int main(void) { return 0; }' 2>/dev/null ||
      crt0=semihost
    local -a bare=(--specs=picolibc.specs --oslib=semihost --crt0="$crt0")
    local -a at_arm=('-Wl,--defsym=__flash=0x0,--defsym=__flash_size=0x40000'
      '-Wl,--defsym=__ram=0x20000000,--defsym=__ram_size=0x10000')
    local -a at_riscv=('-Wl,--defsym=__flash=0x80000000,--defsym=__flash_size=0x200000'
      '-Wl,--defsym=__ram=0x80200000,--defsym=__ram_size=0x200000')
    "${arm[@]}" "${small[@]}" "${bare[@]}" "${at_arm[@]}" "${sources[@]}" tests/device.c tests/bare/main.c -o "$out/cortex-m3.elf"
    "${riscv[@]}" "${small[@]}" "${bare[@]}" "${at_riscv[@]}" "${sources[@]}" tests/device.c tests/bare/main.c -o "$out/riscv32.elf"
    "${arm[@]}" "${small[@]}" "${bare[@]}" "${at_arm[@]}" "${sources[@]}" tests/test_vectors.c tests/replay.c "$out/page.c" -o "$out/vectors-arm.elf"
    "${riscv[@]}" "${small[@]}" "${bare[@]}" "${at_riscv[@]}" "${sources[@]}" tests/test_vectors.c tests/replay.c "$out/page.c" -o "$out/vectors-riscv.elf"
    local machine
    for machine in arm riscv; do
      local -n compiler=$machine
      "${compiler[@]}" "${small[@]}" --specs=picolibc.specs "${sources[@]}" tests/bare/size.c -o "$out/size-$machine.elf"
      "${compiler[@]}" "${small[@]}" --specs=picolibc.specs -DEMPTY tests/bare/size.c -o "$out/empty-$machine.elf"
    done
    # The examples, against what stands in for the makers' headers.
    "${riscv[@]}" "${small[@]}" --specs=picolibc.specs -Iinclude -Iexamples/esp-idf/stubs -c examples/esp-idf/main/follow.c -o "$out/esp-idf.o"
    "${arm[@]}" "${small[@]}" --specs=picolibc.specs -Iinclude -Iexamples/stm32/stubs -c examples/stm32/follow.c -o "$out/stm32.o"
  )
  (cd "$CIB_ROOT/clients/js" && "$CIB_ROOT/web/node_modules/.bin/tsc" -p .)
  wait "$sdks"
}

# clients_flash MACHINE MOST: how much flash the client takes, which is no more than MOST.
clients_flash() {
  local out size=$1-none-eabi-size taken
  out=$(clients_dir)
  [[ $1 == riscv ]] && size=riscv64-unknown-elf-size
  taken=$(("$("$size" "$out/size-$1.elf" | awk 'NR == 2 { print $1 }')" - "$("$size" "$out/empty-$1.elf" | awk 'NR == 2 { print $1 }')"))
  step "$1: $taken bytes of flash, at most $2"
  ((taken <= $2)) || die "$EX_SOFTWARE" "the client takes $taken bytes of flash on $1"
}

# clients_emulated COMMAND...: a program on an emulated machine, which has to end well.
clients_emulated() {
  timeout 60 "$@" -display none -monitor none -serial null -semihosting-config enable=on,target=native
}

# clients_test: what needs no server, and what needs one.
clients_test() {
  local out
  out=$(clients_dir)
  step "The vectors"
  "$out/vectors-mbedtls"
  "$out/vectors-aes"
  "$out/vectors-psa"
  clients_emulated qemu-system-arm -M lm3s6965evb -kernel "$out/vectors-arm.elf"
  clients_emulated qemu-system-riscv32 -M virt -bios none -kernel "$out/vectors-riscv.elf"
  python3 -m unittest -q "$CIB_ROOT/clients/python/tests/test_vectors.py"
  (cd "$CIB_ROOT/clients/js" && node --test tests/vectors.test.mjs >"$out/js.log") || {
    cat "$out/js.log"
    return 1
  }
  clients_flash arm "$CLIENTS_FLASH"
  clients_flash riscv "$CLIENTS_FLASH"
  step "The fuzzer"
  quietly "$out/fuzz.log" "$out/fuzz" -max_total_time="${CIB_FUZZ_SECONDS:-10}"
  step "Against a real server"
  # Keepers too are real to some. Of the whole workspace, as the tests are, or more would be compiled anew.
  cargo build --locked --quiet --workspace --bins
  export CIB_CLIENTS=$out
  if cargo nextest --version >/dev/null 2>&1; then
    rust_tests "$out/clients.log" --test api --run-ignored only -E 'test(envelope::clients) | test(protocols::sdks)'
  else
    rust_tests "$out/clients.log" --test api -- --ignored envelope::clients protocols::sdks
  fi
}
