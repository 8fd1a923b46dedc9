"""The demo: every part of Cymba on this machine, with a person, their past and live sessions."""
