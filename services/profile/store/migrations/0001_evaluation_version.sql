-- Orders the published evaluations of a profile. It outlasts the generations of the state, because
-- the services downstream compare versions across a switch.
CREATE SEQUENCE evaluation_version;
