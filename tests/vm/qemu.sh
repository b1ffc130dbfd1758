#!/bin/bash
# A virtual machine without KVM, with the settings that proved fast and correct. The tests and `make vm` start it.
#
#   tests/vm/qemu.sh --kernel FILE --initrd FILE --append ARGUMENTS [OPTION]… [-- QEMU'S OWN ARGUMENTS]
#   tests/vm/qemu.sh --uefi VARIABLES | --bios                      [OPTION]… [-- QEMU'S OWN ARGUMENTS]
#
#   --disk [NAME=]FILE  a raw image; with a name it is /dev/disk/by-id/virtio-NAME as well
#   --network           a network of QEMU's own behind which 127.0.0.1 of this machine is 10.0.2.2
#   --ssh PORT          that network, and this port of 127.0.0.1 leads to the machine's ssh
#   --root-console      this terminal is the machine's serial console, with root logged in; Ctrl-A X switches it off
#
# VARIABLES is the file with the firmware's variables, made when it is missing. $MEMORY is in MiB. The process becomes
# QEMU itself.
set -euo pipefail

# cx16=off: without it QEMU 7.2 leaves the trap flag set after some cmpxchg16b instructions, and the kernel panics
# half a minute later, now and then. la57=off: page tables of four levels are less work to emulate than of five.
# One processor: when Linux patches its own code, another one may run into the breakpoint that it patches with ("Oops:
# int3" at random places of the kernel); seen now and then. On a machine that has other things to do it is not
# slower.
machine=(
    -machine q35 -accel tcg,thread=multi,tb-size=512 -cpu max,la57=off,cx16=off -smp 1 -m "${MEMORY:-1024}"
    -no-user-config -nodefaults -display none
    -device virtio-rng-pci
)
disk() {
    local file=$1 serial=""
    case $file in *=*) serial=,serial=${file%%=*} file=${file#*=} ;; esac
    # QEMU writes a comma in a value as two.
    machine+=(
        -drive "if=none,id=disk$disks,format=raw,discard=unmap,file=${file//,/,,}"
        -device "virtio-blk-pci,drive=disk$disks$serial"
    )
    disks=$((disks + 1))
}
disks=0
network=
while [ $# -gt 0 ]; do
    case $1 in
    --kernel | --initrd | --append) machine+=("${1#-}" "$2") ;;
    --disk) disk "$2" ;;
    --uefi)
        firmware=/usr/share/OVMF
        [ -e "$2" ] || cp "$firmware/OVMF_VARS_4M.fd" "$2"
        machine+=(
            -drive "if=pflash,format=raw,readonly=on,file=$firmware/OVMF_CODE_4M.fd"
            -drive "if=pflash,format=raw,file=${2//,/,,}"
        )
        ;;
    --bios)
        shift
        continue
        ;;
    --network)
        network=user,id=network
        shift
        continue
        ;;
    --ssh) network=user,id=network,hostfwd=tcp:127.0.0.1:$2-:22 ;;
    --root-console)
        # A credential for systemd (systemd.system-credentials(7)): the image needs nothing for it, and no password.
        login=$(printf '[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --noreset --noclear - ${TERM}\n')
        login=systemd.unit-dropin.serial-getty@ttyS0.service=$(base64 -w 0 <<< "$login")
        machine+=(-serial mon:stdio -smbios "type=11,value=io.systemd.credential.binary:$login")
        shift
        continue
        ;;
    --)
        shift
        break
        ;;
    *)
        echo "tests/vm/qemu.sh: unknown argument $1" >&2
        exit 2
        ;;
    esac
    shift 2
done
# Without a ROM: nothing boots from the network.
[ -z "$network" ] || machine+=(-netdev "$network" -device virtio-net-pci,netdev=network,romfile=)
exec qemu-system-x86_64 "${machine[@]}" "$@"
