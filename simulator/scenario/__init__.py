"""Scenarios: scripted hands, faults and expectations, played against a simulator and a cabinetd."""
