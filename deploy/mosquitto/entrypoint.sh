#!/bin/sh
# Runs mosquitto for the bridge's slots (passwords from the environment) and for every provisioned
# device, and has it read files and certificates again when they change. A secret that has ended
# also ends the connections that were made with it.
#
#   BRIDGE_PASSWORD   of the users bridge-0 … bridge-(N-1)
#   BRIDGE_SLOTS      N, 1 where it is not set
#   HEALTH_PASSWORD   of the user that the health check connects as
#   CONFORMANCE_PASSWORD  of the user that `cymba conformance` listens as, who hears all devices and
#                         may say nothing; there is none where it is not set
#   MQTT_LISTEN, MQTTS_LISTEN, MQTT_MUTUAL_TLS_LISTEN   port and address of each listener, such as
#                         "1883 127.0.0.1"; where it is not set, the usual port on all addresses
#
# Files, outside a container in the folders MOSQUITTO_CONFIG, _RUN, _DATA, _TLS and _CREDENTIALS:
#   credentials/passwords, credentials/revoked   `cymba device passwords --follow` keeps them
#   tls/server.crt, tls/server.key               then there is TLS, on port 8883
#   tls/clients-ca.crt, tls/clients.crl          then also mutual TLS, on port 8884
set -eu
umask 077

config=${MOSQUITTO_CONFIG:-/mosquitto/config}
run=${MOSQUITTO_RUN:-/mosquitto/run}
data=${MOSQUITTO_DATA:-/mosquitto/data}
tls=${MOSQUITTO_TLS:-/mosquitto/tls}
credentials=${MOSQUITTO_CREDENTIALS:-/mosquitto/credentials}

# $1 the user, $2 their password: by standard input, since others may read the command lines.
add_password() {
  printf '%s\n%s\n' "$2" "$2" | mosquitto_passwd "$run/own-passwords" "$1" >/dev/null
}

# The access list, and the passwords of those who are not devices.
write_own() {
  : "${BRIDGE_PASSWORD:?}" "${HEALTH_PASSWORD:?}"
  cp "$config/acl" "$run/own-acl"
  printf '\nuser health\ntopic read $SYS/broker/uptime\n' >>"$run/own-acl"
  : >"$run/own-passwords"
  add_password health "$HEALTH_PASSWORD"
  if [ -n "${CONFORMANCE_PASSWORD:-}" ]; then
    printf '\nuser conformance\ntopic read cymba/v1/+/up/#\ntopic read cymba/v1/+/down/#\n' >>"$run/own-acl"
    add_password conformance "$CONFORMANCE_PASSWORD"
  fi
  slot=0
  while [ "$slot" -lt "${BRIDGE_SLOTS:-1}" ]; do
    user=bridge-$slot
    {
      printf '\nuser %s\ntopic read cymba/v1/+/up/#\ntopic write cymba/v1/+/down/#\n' "$user"
      printf 'topic write cymba/v1/+/up/presence\n'
      printf 'topic readwrite cymba/bridge/%s/#\n' "$user"
    } >>"$run/own-acl"
    add_password "$user" "$BRIDGE_PASSWORD"
    slot=$((slot + 1))
  done
}

is_new() {
  [ -f "$credentials/$1" ] && ! cmp -s "$credentials/$1" "$run/taken-$1"
}

# $1 the devices' file, $2 ours, $3 the two together: replaced as a whole.
join() {
  if [ -f "$credentials/$1" ]; then cp "$credentials/$1" "$run/taken-$1"; else : >"$run/taken-$1"; fi
  cat "$run/$2" "$run/taken-$1" >"$run/$3.new"
  mv "$run/$3.new" "$run/$3"
}

join_all() {
  join revoked own-acl acl
  join passwords own-passwords passwords
}

write_configuration() {
  cat "$config/mosquitto.conf"
  if [ -f "$tls/server.crt" ]; then
    cat "$config/tls.conf"
    if [ -f "$tls/clients-ca.crt" ]; then
      cat "$config/mutual-tls.conf"
      if [ -f "$tls/clients.crl" ]; then echo 'crlfile /mosquitto/tls/clients.crl'; fi
    fi
  fi
}

write_configuration |
  sed -e "s|/mosquitto/run/|$run/|" -e "s|/mosquitto/data/|$data/|" -e "s|/mosquitto/tls/|$tls/|" \
    -e "s|^listener 1883$|listener ${MQTT_LISTEN:-1883}|" \
    -e "s|^listener 8883$|listener ${MQTTS_LISTEN:-8883}|" \
    -e "s|^listener 8884$|listener ${MQTT_MUTUAL_TLS_LISTEN:-8884}|" \
    >"$run/mosquitto.conf"
write_own
join_all

mosquitto -c "$run/mosquitto.conf" &
broker=$!
# It may have ended by itself, or been asked to stop in the middle of something else.
send() { kill "-$1" "$broker" 2>/dev/null || true; }
trap 'send TERM' TERM INT
trap 'send HUP' HUP # certificates that were renewed

while kill -0 "$broker" 2>/dev/null; do
  if is_new revoked || is_new passwords; then
    join_all
    send HUP
  fi
  sleep 1 &
  wait $! || true
done
wait "$broker"
