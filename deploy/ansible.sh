# Functions of the tests that run a playbook on containers over ssh: `source deploy/ansible.sh` after deploy/container.sh.
# They need $work and the `leaders` of the booted containers.
# shellcheck shell=bash disable=SC2154,SC2034  # $work, $user and $leader are of container.sh
export ANSIBLE_CONFIG=deploy/ansible/ansible.cfg ANSIBLE_NOCOLOR=1 ANSIBLE_HOST_KEY_CHECKING=no

lint() {
    ansible-lint --offline --config-file deploy/ansible/.ansible-lint deploy/ansible >"$work/lint.log" 2>&1 ||
        fail "$(cat "$work/lint.log")"
    log "ok: ansible-lint passes with its profile 'production'"
}

# The containers have no network but loopback, which ssh reaches through nsenter.
# A persistent ssh connection may outlive its container, so each run has its own control path.
create_ssh_access() {
    export ANSIBLE_SSH_CONTROL_PATH_DIR=$work/ssh
    ssh-keygen -q -t ed25519 -N '' -f "$work/key"
    cat >"$work/through" <<'END'
#!/usr/bin/env bash
exec nsenter --target "$1" --net bash -c 'exec 3<>/dev/tcp/127.0.0.1/22; cat <&3 & cat >&3; kill $!'
END
    chmod +x "$work/through"
    mkdir -p "$work/inventory/group_vars" "$work/inventory/host_vars"
}
# authorise: authorise the key of create_ssh_access in the container $leader.
authorise() {
    inside install -d -m 700 -o "$user" -g "$user" "/home/$user/.ssh"
    inside install -m 600 -o "$user" -g "$user" /dev/stdin "/home/$user/.ssh/authorized_keys" <"$work/key.pub"
}
# Connection variables of an inventory; each host has its `leader`.
way() {
    cat <<END
ansible_user: $user
ansible_ssh_private_key_file: $work/key
ansible_ssh_common_args: -o UserKnownHostsFile=/dev/null -o ProxyCommand='$work/through {{ leader }}'
END
}

# play BOOK [OPTION]...: run a playbook; its output goes to a file.
play() { ansible-playbook "deploy/ansible/$1" --inventory "$work/inventory" "${@:2}" >"$work/play.log" 2>&1; }
must_play() { play "$@" || fail "$(tail -n 40 "$work/play.log")"; }
# changed HOST: number of tasks that changed something on the host.
changed() { sed -n "s/^$1 .*changed=\([0-9]*\).*/\1/p" "$work/play.log"; }
at() { leader=${leaders[$1]} && "${@:2}"; }
