-- Orders the assignments of an identifier. It outlasts the generations of the state: services
-- downstream compare versions across a switch.
CREATE SEQUENCE assignment_version;
