#!/bin/sh
# Runs mosquitto with the passwords and rights of the bridge's slots (from the environment) and of
# every provisioned device (from a file that `cymba device passwords --follow` keeps), and has it
# read them again whenever that file changes. Changed secrets end the connections that used them.
#
#   BRIDGE_PASSWORD  of the users bridge-0 … bridge-(N-1)
#   BRIDGE_SLOTS     N, 1 where it is not set
#   HEALTH_PASSWORD  of the user that the health check connects as
set -eu
umask 077

config=${MOSQUITTO_CONFIG:-/mosquitto/config}
run=${MOSQUITTO_RUN:-/mosquitto/run}
devices=${MOSQUITTO_DEVICES:-/mosquitto/credentials/passwords}
: "${BRIDGE_PASSWORD:?}" "${HEALTH_PASSWORD:?}"

# The access list, and the passwords of those who are not devices.
cp "$config/acl" "$run/acl"
: >"$run/own"
printf '\nuser health\ntopic read $SYS/broker/uptime\n' >>"$run/acl"
mosquitto_passwd -b "$run/own" health "$HEALTH_PASSWORD"
slot=0
while [ "$slot" -lt "${BRIDGE_SLOTS:-1}" ]; do
  user=bridge-$slot
  printf '\nuser %s\ntopic read cymba/v1/+/up/#\ntopic write cymba/v1/+/down/#\n' "$user" >>"$run/acl"
  printf 'topic readwrite cymba/bridge/%s/#\n' "$user" >>"$run/acl"
  mosquitto_passwd -b "$run/own" "$user" "$BRIDGE_PASSWORD"
  slot=$((slot + 1))
done

write_passwords() {
  cat "$run/own" "$run/devices" >"$run/passwords.new"
  mv "$run/passwords.new" "$run/passwords"
}

take_devices() {
  if [ -f "$devices" ]; then cp "$devices" "$run/devices"; else : >"$run/devices"; fi
}

take_devices
write_passwords
mosquitto -c "$config/mosquitto.conf" &
broker=$!
trap 'kill -TERM "$broker" 2>/dev/null' TERM INT

while kill -0 "$broker" 2>/dev/null; do
  if [ -f "$devices" ] && ! cmp -s "$devices" "$run/devices"; then
    take_devices
    write_passwords
    kill -HUP "$broker"
  fi
  sleep 1 &
  wait $! || true
done
wait "$broker"
