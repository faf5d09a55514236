"""The devices' protocols: registers and frames over the models, byte for byte."""
