"""Suites: Great Expectations' language compiled, run and recorded; profiles and pages."""
