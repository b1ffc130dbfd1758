# The machine's end of the channel (channel.rs): runs scripts that come over its standard input, which is a terminal.
# It gets here as a credential of the virtual firmware; the image has nothing of it.
stty raw -echo
mkdir -p /run/vm-agent && cd /run/vm-agent || exit
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
boot=$(cat /proc/sys/kernel/random/boot_id)
sum() { sha256sum < "$1" | cut -c 1-64; }
printf '\nR %s\n' "$boot"
while IFS= read -r line; do
    case $line in
    P) echo "R $boot" ;;
    B\ *)
        set -- $line
        id=$2 limit=$3
        : > request
        ;;
    D\ *) echo "${line#D }" >> request ;;
    E\ *)
        base64 -d < request > script 2> /dev/null
        if [ "$line" != "E $id $(sum script)" ]; then
            echo "N $id"
            continue
        fi
        echo "A $id"
        if [ "$id" != "$ran" ]; then
            (cd / && exec timeout -k 5 "$limit" sh /run/vm-agent/script) < /dev/null > output 2>&1
            code=$? ran=$id
        fi
        echo "S $id $code"
        base64 -w 800 < output | sed 's/^/D /'
        echo "E $id $(sum output)"
        ;;
    esac
done
