# shellcheck shell=bash
# Sourced. Other releases of Debian, each in a folder: made on demand, entered by chroot. Needs root.
roots=${REACTOR_ROOTS:-$root/build/roots}
mirror=${REACTOR_DEBIAN_MIRROR:-http://deb.debian.org/debian}

make_root() {  # SUITE [NAME]: of the folder, if not the suite's
  local suite=$1 name=${2:-$1}
  [ ! -e "$roots/$name/ready" ] || return 0
  "$root/scripts/setup.sh" roots
  rm -rf "${roots:?}/$name"
  mkdir -p "$roots"
  debootstrap --variant=minbase "$suite" "$roots/$name" "$mirror"
  cat >"$roots/$name/etc/apt/apt.conf.d/90reactor" <<END
Acquire::Check-Valid-Until "false";
Acquire::Retries "5";
APT::Install-Recommends "false";
END
  cp /etc/resolv.conf /etc/hosts "$roots/$name/etc/"
  in_root "$name" apt-get update
  touch "$roots/$name/ready"
}

# Where it is called, below the folder of the sources, which has the same path there. What is mounted for it goes with
# the command.
in_root() {  # SUITE COMMAND...
  local folder=$PWD
  [[ $folder/ == "$root"/* ]] || folder=$root
  # shellcheck disable=SC2016  # for the shell in there
  unshare --mount bash -ec 'mkdir -p "$2$1"
    mount --bind "$1" "$2$1"
    mount -t proc proc "$2/proc"
    mount --bind /dev/pts "$2/dev/pts"
    exec chroot "$2" env --chdir="$3" PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
      DEBIAN_FRONTEND=noninteractive "${@:4}"' - "$root" "$roots/$1" "$folder" "${@:2}"
}

install_in() {  # SUITE PACKAGE...
  local states
  # shellcheck disable=SC2016  # dpkg's own words
  states=$(in_root "$1" dpkg-query -W -f='${db:Status-Status}\n' "${@:2}" 2>&1) || true
  ! grep -qvx installed <<<"$states" || in_root "$1" apt-get install -y "${@:2}"
}
