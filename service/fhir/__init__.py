"""The record as FHIR R4, for reading: `/fhir/R4`.

The routes describe themselves by their CapabilityStatement, so they are no part of the OpenAPI
document.
"""
