#!/bin/bash
# One point of a sweep: a command has something done to its Nth call of one kind, is set right
# again, and the host is compared with what it was, or with what it was to become.
#
#   point CALL N INJECTION    such as `rename 3 signal=KILL`, `fsync 2 error=EIO`
#
# /root/sweep holds: `before`, `after`: what the owner changes around it; `command`; `again`: makes
# the state before of the state after it; `a`, `b`: these two states; `fresh`: what of `b` is made
# anew each time; `holds-a`, `holds-b`: what must succeed in each.
#
# Prints `KEY VALUE` lines, then differences; see tests/lab/sweep.rs.
set -u
cd /root/sweep || exit 64
call=$1 nth=$2 injection=$3
journal=/var/lib/tavern/journal.jsonl
state() { /root/state ours; }
# A state without what differs by right between two runs that end alike.
plain() { grep -vE "$(<fresh)" "$1"; }
# Says which state the host is in, once it has had the time that services take to come up.
compare() {
    local i
    plain b >plain-b
    for ((i = 0; i < 12; i++)); do
        state >now
        if cmp -s a now; then
            echo "is a"
            return
        fi
        plain now >plain-now
        if cmp -s plain-b plain-now; then
            echo "is b"
            return
        fi
        sleep 0.25
    done
    echo "is neither"
    diff a now | grep '^[<>]' | sed 's/^/from-a /' | head -n 40
    diff plain-b plain-now | grep '^[<>]' | sed 's/^/from-b /' | head -n 40
}

bash ./before
mapfile -d ' ' -t words < <(printf %s "$(<./command)")
strace -qq -yy -s 40 -o trace -e "trace=$call" -e "inject=$call:$injection:when=$nth" \
    "${words[@]}" </dev/null >out 2>err
echo "code $?"
# What it really came upon: how often a wake-up is written differs from run to run.
echo "hit $(grep -F '(INJECTED)' trace || grep -v '^[-+]' trace | tail -n 1)"

end=none
if [[ -e $journal ]]; then
    end=open
    # An uninstall only goes forward: its first line is its commit.
    [[ $(grep -oE '^\{"(commit|abort|begin".*"uninstall")' $journal | tail -n 1) != *@(commit|uninstall)* ]] ||
        end=committed
fi
echo "journal $end"
awk '{ print "said " $0 }' err

if [[ $end != none || $injection == signal=KILL ]]; then
    /root/tavernctl recover </dev/null >recovered 2>&1
    echo "recovered $?"
    awk '{ print "recover " $0 }' recovered
fi
# What could not be removed after the commit is for the next run.
if [[ $end == none ]] && grep -q 'what left the stacks could not all be removed' err; then
    bash ./command </dev/null >repeated 2>&1
    echo "repeated $?"
    awk '{ print "repeat " $0 }' repeated
fi
bash ./after

is=$(compare)
echo "$is"
if [[ $is == 'is '[ab] ]]; then
    bash "./holds-${is#is }" >held 2>&1 || awk '{ print "broken " $0 } END { print "broken by its exit code" }' held
fi
find /etc /usr/local /var/www /var/lib /run /root -xdev \
    \( -name '*.tavern-tmp' -o -path "$journal" -o -path /var/lib/tavern/stage \) -printf 'leftover %p\n'
exit 0
